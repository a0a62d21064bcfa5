"""A huge page that is only read is the kernel's one page of zeros, with a table laid by for the day when it is split: by
mprotect of a part."""
try:
    for _ in range(6):
        start = take(48 * GIB, READ)
        libc.madvise(start, 48 * GIB, HUGEPAGE)
        for at in range(start, start + 48 * GIB - 2 * MIB, 2 * MIB):
            _c.string_at(at, 1)
        for at in range(start + 4096, start + 4 * GIB, 2 * MIB):
            libc.mprotect(at, 4096, NONE)
except MemoryError as problem:
    print("refused", problem)
time.sleep(0.3)
