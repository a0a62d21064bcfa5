"""Page tables between two runs."""
def grow():
    time.sleep(0.3)
    for _ in range(4):
        start = take(64 * GIB, READ)
        for at in range(start, start + 64 * GIB, 2 * MIB): _c.string_at(at, 1)
    time.sleep(60)
native_thread(grow)
# ==== idle 3
# ==== next run
1
