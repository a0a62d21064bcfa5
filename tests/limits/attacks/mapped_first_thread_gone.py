"""The first thread has gone, and another fills scratch by a mapping and reads its way through page tables."""
def rest():
    time.sleep(0.2)
    try:
        for _ in range(4):
            start = take(48 * GIB, READ)
            for at in range(start, start + 48 * GIB, 2 * MIB): _c.string_at(at, 1)
    except MemoryError:
        pass
    time.sleep(1)
    os._exit(0)

native_thread(rest)
main_thread_goes()
