"""Deleted and closed, but mapped: it grows by being written to, with no descriptor left."""
done = 0
try:
    for number in range(60):
        with open("/work/f", "w+b") as file:
            file.truncate(6 * MIB)
            start = take(6 * MIB, READ | WRITE, SHARED, file.fileno())
        os.unlink("/work/f")
        touch(start, 6 * MIB)
        done += 6 * MIB
except (MemoryError, OSError) as problem:
    print("refused", problem)
print(done)
time.sleep(0.3)
