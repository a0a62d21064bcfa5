"""Goes before each attack: system calls without libc's errno handling in the way. An attacker has no more than this."""
import ctypes as _c
import errno, mmap, os, sys, threading, time

libc = _c.CDLL(None, use_errno=True)
held = _c.PyDLL(None)  # its calls keep the interpreter's lock
libc.syscall.restype = held.syscall.restype = _c.c_long
libc.mmap.restype = _c.c_void_p
libc.mmap.argtypes = [_c.c_void_p, _c.c_size_t, _c.c_int, _c.c_int, _c.c_int, _c.c_long]
libc.mprotect.argtypes = [_c.c_void_p, _c.c_size_t, _c.c_int]
libc.madvise.argtypes = [_c.c_void_p, _c.c_size_t, _c.c_int]
NONE, READ, WRITE, EXEC = 0, 1, 2, 4
SHARED, PRIVATE, FIXED, ANONYMOUS, GROWSDOWN, NORESERVE, POPULATE = 1, 2, 16, 32, 256, 16384, 32768
HUGEPAGE = 14
MIB, GIB = 1 << 20, 1 << 30
FAILED = _c.c_void_p(-1).value


def take(size, rights=READ | WRITE, flags=PRIVATE | ANONYMOUS | NORESERVE, fd=-1, at=None):
    """Memory as the kernel gives it, or MemoryError."""
    got = libc.mmap(at, size, rights, flags, fd, 0)
    if got in (None, FAILED):
        raise MemoryError(os.strerror(_c.get_errno()))
    return got


def touch(start, size, step=4096):
    """Writes one byte a page."""
    for at in range(start, start + size, step):
        _c.memset(at, 1, 1)


def native_thread(function):
    """A thread that belongs to nobody in Python's own list, so that nothing waits for it."""
    import _thread
    return _thread.start_new_thread(function, ())


def main_thread_goes():
    """The first thread ends without the process: exit, not exit_group."""
    libc.syscall(60, 0)


