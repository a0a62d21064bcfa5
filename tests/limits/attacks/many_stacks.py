"""Threads whose stacks are filled and taken out of the data limit while they sleep."""
def sleeper():
    start = take(16 * MIB)
    touch(start, 16 * MIB)
    libc.mprotect(start, 16 * MIB, READ)
    time.sleep(2)

for _ in range(30):
    try:
        native_thread(sleeper)
    except RuntimeError:
        break
time.sleep(1.5)
