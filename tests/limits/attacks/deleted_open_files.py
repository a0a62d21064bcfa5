"""Files that are deleted while they are open: no name, no count."""
kept, done, block = [], 0, bytes(MIB)
try:
    for number in range(100):
        file = open(f"/work/f{number}", "wb", 0)
        os.unlink(f"/work/f{number}")
        kept.append(file)
        for _ in range(4): done += file.write(block)
except OSError as problem:
    print("refused", problem)
print(done)
time.sleep(0.3)
