"""A path that lies in memory behind which is a file of a file system that does not answer: whoever reads it waits."""
def ready():
    global at
    fd = os.open(f"{GRANT}/slow/quick", os.O_RDONLY)
    at = take(MIB, READ, PRIVATE, fd)
def ask():
    libc.access(_c.c_void_p(at + 65536), 0)
