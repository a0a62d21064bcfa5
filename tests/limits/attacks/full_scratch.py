"""Scratch that is full of files, at its limit: each change makes it be counted again."""
def ready():
    try:
        for n in range(5000):
            os.makedirs(f"/work/{n % 60}/a/b", exist_ok=True); open(f"/work/{n % 60}/a/b/{n}", "w").write("x")
    except OSError: pass
    try: open("/work/big", "wb", 0).write(bytes(7 * MIB))
    except OSError: pass
def ask():
    try: open("/work/0/a/b/0", "r+").close(); open("/work/new", "w").write("x" * 100000)
    except OSError: pass
