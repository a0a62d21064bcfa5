"""Folders full of names, renamed and listed."""
def ready():
    try:
        os.mkdir("/work/w")
        for n in range(900): open(f"/work/w/{n:04}" + "y" * 200, "w").close()
    except OSError: pass
def ask():
    try:
        os.rename("/work/w", "/work/v"); os.listdir("/work/v"); os.rename("/work/v", "/work/w"); os.listdir("/"); os.listdir("/proc/self/fd")
    except OSError: pass
