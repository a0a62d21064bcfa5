"""Page tables by reading a small file that is mapped at ever new places."""
file = open("/work/small", "w+b")
file.write(bytes(8192)); file.flush()
try:
    for number in range(60000):
        at = take(4096, READ, PRIVATE, file.fileno(), (1 << 40) + number * 2 * MIB)
        _c.string_at(at, 1)
except MemoryError as problem:
    print("refused", problem)
time.sleep(0.3)
