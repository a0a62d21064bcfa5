"""Page tables filled by one call: the kernel fills the tables itself, and holds the address space's lock for as long as it takes."""
try:
    for _ in range(4):
        take(48 * GIB, READ, PRIVATE | ANONYMOUS | NORESERVE | POPULATE)
except MemoryError as problem:
    print("refused", problem)
time.sleep(0.3)
