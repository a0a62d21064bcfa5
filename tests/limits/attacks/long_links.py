"""Symbolic links with the longest text that there may be: kernel memory without blocks."""
n = 0
try:
    while n < 100000:
        os.symlink("x" * 4095, f"/work/{n:06}"); n += 1
except OSError as problem:
    print("refused", problem)
print(n)
time.sleep(0.2)
