from filelock import FileLock, Timeout

with FileLock("a.lock"):
    try:
        FileLock("a.lock").acquire(timeout=0.1)
        print("twice")
    except Timeout:
        print("held")
