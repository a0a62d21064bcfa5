"""Sparse files grow when they are read through a mapping, in folders of their own."""
try:
    for number in range(60):
        os.makedirs(f"/work/{number}/a/b")
        with open(f"/work/{number}/a/b/f", "w+b") as file:
            file.truncate(6 * MIB)
            start = take(6 * MIB, READ, SHARED, file.fileno())
        for at in range(start, start + 6 * MIB, 4096): _c.string_at(at, 1)
except (MemoryError, OSError) as problem:
    print("refused", problem)
time.sleep(0.3)
