"""All memory that is counted apart, at once: what may be written to until there is no more, some of it made read-only on the way, by
another thread too, and then page tables as fast as they come."""
file = open("/work/small", "w+b")
file.write(bytes(8192)); file.flush()
def hide():
    for size in (8 * MIB, MIB, MIB // 8):
        try:
            while True:
                start = take(size); touch(start, size)
                if libc.mprotect(start, size // 2, READ) != 0:
                    break
        except MemoryError:
            pass
thread = threading.Thread(target=hide)
thread.start(); hide(); thread.join()
print("HID", flush=True)
try:
    for number in range(60000):
        at = libc.mmap((1 << 40) + number * 2 * MIB, 4096, READ, PRIVATE | POPULATE, file.fileno(), 0)
        if at == FAILED:
            break
except MemoryError as problem:
    print("refused", problem)
time.sleep(0.3)
