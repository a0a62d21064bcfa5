"""Between two looks of the supervisor: huge pages are the fastest memory there is, all threads at once, no data."""
stop = []
def burst():
    try:
        while not stop:
            start = take(32 * MIB)
            aligned = (start + 2 * MIB - 1) & -(2 * MIB)
            libc.madvise(start, 32 * MIB, HUGEPAGE)
            touch(aligned, 28 * MIB, 2 * MIB)
            libc.mprotect(start, 32 * MIB, READ)
    except MemoryError:
        pass

for _ in range(3):
    native_thread(burst)
burst()
time.sleep(0.3)
