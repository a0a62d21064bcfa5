"""Empty files with the longest names: kernel memory for each name and node."""
n = 0
try:
    while n < 30000:
        open("/work/" + f"{n:06}".ljust(250, "x"), "w").close(); n += 1
except OSError as problem:
    print("refused", problem)
print(n)
time.sleep(0.2)
