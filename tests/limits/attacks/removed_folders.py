"""The folder in which the open files lie is taken away above them."""
kept, block = [], bytes(MIB)
try:
    for number in range(60):
        os.makedirs(f"/work/d/{number}")
        file = open(f"/work/d/{number}/f", "wb", 0)
        for _ in range(3): file.write(block)
        kept.append(file)
        os.unlink(f"/work/d/{number}/f"); os.rmdir(f"/work/d/{number}")
except OSError as problem:
    print("refused", problem)
time.sleep(0.3)
