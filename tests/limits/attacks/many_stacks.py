"""Threads that sleep on memory which they have filled and taken out of the data limit."""
threading.stack_size(1 << 18)
def sleeper():
    while True:
        try:
            start = take(16 * MIB); touch(start, 16 * MIB); libc.mprotect(start, 16 * MIB, READ)
            break
        except MemoryError:
            time.sleep(0.01)
    time.sleep(5)

for _ in range(30):
    try: native_thread(sleeper)
    except RuntimeError: break
time.sleep(1.5)
