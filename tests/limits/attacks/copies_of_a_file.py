"""A file mapped privately and written: copies that are memory; then made read only."""
file = open("/work/f", "w+b")
file.write(bytes(4 * MIB)); file.flush()
try:
    for _ in range(300):
        start = take(4 * MIB, READ | WRITE, PRIVATE, file.fileno())
        touch(start, 4 * MIB)
        libc.mprotect(start, 4 * MIB, READ)
except MemoryError as problem:
    print("refused", problem)
time.sleep(0.3)
