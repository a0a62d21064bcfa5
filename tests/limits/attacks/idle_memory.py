"""A thread that stays takes memory between two runs, and the next run is too short to be looked at."""
def grow():
    time.sleep(0.3)
    for _ in range(16):
        start = take(64 * MIB); touch(start, 64 * MIB); libc.mprotect(start, 64 * MIB, READ)
    time.sleep(60)
native_thread(grow)
# ==== idle 2
# ==== next run
1
