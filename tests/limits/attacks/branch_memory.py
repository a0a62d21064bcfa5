"""A branch takes memory that was not there when it was made, read only, while its original is idle."""
x = 1
# ==== branch
for _ in range(16):
    start = take(64 * MIB); touch(start, 64 * MIB); libc.mprotect(start, 64 * MIB, READ)
time.sleep(0.3)
# ==== close
