"""A FIFO beneath a read grant, opened without waiting: a writer outside finds a reader, and loses what it writes."""
for _ in range(200):
    try: os.close(os.open(f"{GRANT}/fifo0", os.O_RDONLY | os.O_NONBLOCK))
    except OSError: pass
    time.sleep(0.002)
