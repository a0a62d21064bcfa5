"""A grant full of FIFOs and dangling links: opened, looked at, listed."""
def ready(): pass
def ask():
    for n in range(20):
        for name in (f"{GRANT}/fifo{n}", f"{GRANT}/dangling{n}"):
            try: os.close(os.open(name, os.O_RDONLY | os.O_NONBLOCK))
            except OSError: pass
            try: os.stat(name)
            except OSError: pass
