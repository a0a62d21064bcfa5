"""Pages lose every right by mprotect, not only that to write, and page by page in turn so that no area is large."""
try:
    for _ in range(256):
        start = take(4 * MIB)
        touch(start, 4 * MIB)
        libc.mprotect(start, 4 * MIB, NONE)
except MemoryError as problem:
    print("refused", problem)
time.sleep(0.3)
