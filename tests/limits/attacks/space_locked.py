"""The lock of an address space is its owner's: mprotect over all of it holds it, while another thread asks with a path that lies
in that memory."""
def ready():
    global start, size
    size = 0
    try:
        start = take(128 * GIB, READ); size = 128 * GIB
    except MemoryError:
        start = take(4 * GIB, READ); size = 4 * GIB
    for at in range(start, start + min(size, 90 * GIB), 2 * MIB): _c.string_at(at, 1)
    def flip():
        while True:
            libc.mprotect(start, size, NONE); libc.mprotect(start, size, READ)
    native_thread(flip)
def ask():
    libc.access(b"/work/none", 0)
