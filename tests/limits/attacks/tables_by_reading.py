"""Page tables are paid by whoever reads: one read in each two mebibytes of a private mapping that is never written needs a table
of four kibibytes, and is neither resident nor data."""
try:
    for _ in range(8):
        m = mmap.mmap(-1, 64 * GIB, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | NORESERVE, prot=mmap.PROT_READ)
        globals()[f"m{_}"] = m
        for at in range(0, 64 * GIB, 2 * MIB):
            m[at]
except (MemoryError, OSError, ValueError) as problem:
    print("refused", type(problem).__name__)
time.sleep(0.3)
