"""Each page in two mebibytes of its own: as much of tables as of memory, and 60,000 areas of the kernel's own beside them."""
try:
    for number in range(60000):
        at = take(4096, READ | WRITE, PRIVATE | ANONYMOUS, -1, (1 << 40) + number * 2 * MIB)
        _c.memset(at, 1, 1)
        libc.mprotect(at, 4096, READ)
except MemoryError as problem:
    print("refused", problem)
time.sleep(0.3)
