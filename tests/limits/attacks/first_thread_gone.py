"""The first thread ends, and with it the process's line in statm; another goes on taking memory."""
def rest():
    time.sleep(0.2)
    try:
        for _ in range(24):
            start = take(64 * MIB)
            touch(start, 64 * MIB)
            libc.mprotect(start, 64 * MIB, READ)
    except MemoryError:
        pass
    time.sleep(1)
    os._exit(0)

native_thread(rest)
main_thread_goes()
