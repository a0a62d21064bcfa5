"""A FIFO beneath a grant, opened to be read without O_NONBLOCK: it waits for a writer, and somebody waits with it."""
def ready(): pass
def ask():
    try: os.close(os.open(f"{GRANT}/fifo0", os.O_RDONLY))
    except OSError: pass
