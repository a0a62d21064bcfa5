"""A granted folder whose file system does not answer."""
def ready(): pass
def ask():
    try: os.stat(f"{GRANT}/slow/name")
    except OSError: pass
