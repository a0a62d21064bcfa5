"""Questions about the library's folders: the longest lists of mounts and the slowest opens."""
def ready(): pass
def ask():
    for name in ("/usr/lib/python3/dist-packages/numpy/core/../core/../core/none", "/usr/lib/python3.11/../python3.11/../python3.11/os.py"):
        try: os.close(os.open(name, os.O_RDONLY))
        except OSError: pass
