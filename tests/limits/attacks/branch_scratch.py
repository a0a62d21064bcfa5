"""A branch's scratch lies on disk: files without a name there."""
x = 1
# ==== branch
kept, done, block = [], 0, bytes(MIB)
try:
    for number in range(64):
        file = open(f"/work/f{number}", "wb", 0)
        os.unlink(f"/work/f{number}")
        kept.append(file)
        for _ in range(4): done += file.write(block)
except OSError as problem:
    print("refused", problem)
print(done)
time.sleep(0.3)
# ==== close
