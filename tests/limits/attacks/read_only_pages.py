"""Written memory is taken out of the data limit by mprotect: what is not writable is no data."""
kept = []
try:
    for _ in range(24):
        start = take(64 * MIB)
        touch(start, 64 * MIB)
        libc.mprotect(start, 64 * MIB, READ)
        kept.append(start)
except MemoryError as problem:
    print("refused", problem)
time.sleep(0.3)
