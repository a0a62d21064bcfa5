"""What the probes of every class share. This text, the context (names below) and a class's text make one program, which a
guest runs with the number of one probe, and plain.py runs without any sandbox to see that the probe sees something.

A probe ends as HELD (refused before it got to the kernel's code for it), REACHED (that code ran, on arguments that
do no harm) or ESCAPE (it got what it was after). INFO has no judgement of its own: the test looks from outside.

Context: control (no sandbox here), host, victim, zygote, supervisor (process ids), secret (a world-readable file that was
not granted), outside (the same, owned by and writable for this user), rw (a directory that may be written), mb (how
many MiB to try for)."""

import ctypes
import errno
import fcntl
import os
import sys
from errno import EACCES, EAFNOSUPPORT, EBADF, ECHILD, EFAULT, EINVAL, ELOOP, ENODEV, ENOENT, ENOSYS, ENOTDIR, ENOTTY, ENXIO, EOPNOTSUPP, EPERM, EROFS, ESRCH

HELD, REACHED, ESCAPE, INFO = "HELD", "REACHED", "ESCAPE", "INFO"
BAD = 8  # an address that is never mapped
AT_FDCWD = -100
libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long
PROBES = []  # (title, function)


def syscall(number, *arguments):
    """(result, errno) of one raw call. Text and bytes become pointers to C strings."""
    keep = [os.fsencode(a) if isinstance(a, str) else a for a in arguments]
    ctypes.set_errno(0)
    result = libc.syscall(ctypes.c_long(number), *[a if isinstance(a, bytes | ctypes.Array) else ctypes.c_long(a) for a in keep])
    return result, ctypes.get_errno() if result == -1 else 0


def judge(result, error, goal=REACHED, *held):
    """An errno of a refusal is HELD; any other comes out of the code that was to be out of reach."""
    if result == -1 and error in (EPERM, EACCES, ENOSYS, *held):
        return HELD, errno.errorcode[error]
    if result == 0 and 0 in held:
        return HELD, "0, as the filter answers"
    if result == -1:
        return REACHED, errno.errorcode.get(error, str(error))
    return goal, f"returned {result}"


def probe(title):
    def add(function):
        PROBES.append((title, function))
        return function

    return add


def table(rows):
    """One probe a row: title, number, arguments, what success means (REACHED), further results that only the filter gives."""
    for title, number, arguments, *rest in rows:
        def one(number=number, arguments=arguments, rest=rest):
            return judge(*syscall(number, *arguments), *rest)

        PROBES.append((title, one))


def no_path(result, error, goal=ESCAPE):
    """A path that does not exist in the tree, or may not be written."""
    return judge(result, error, goal, ENOENT, ENOTDIR, ENXIO, EROFS, ELOOP, EBADF, EOPNOTSUPP, *(() if control else (EINVAL,)))


def open_path(path, flags=os.O_RDONLY, mode=0o600):
    return syscall(257, AT_FDCWD, path, flags, mode)


def paths(rows):
    """One probe a row: title, path, open flags. It escapes if it opens and, if it is for reading, something is in it."""
    for title, path, *rest in rows:
        def one(path=path, flags=rest[0] if rest else os.O_RDONLY):
            fd, error = open_path(path, flags)
            if fd < 0:
                return no_path(fd, error)
            if flags & os.O_DIRECTORY:
                # The jar makes up the few that libraries look into; more than a few names are the host's.
                names = os.listdir(path)
                return (ESCAPE, str(names)[:80]) if len(names) > 3 else (HELD, f"made up: {names}")
            if flags & (os.O_WRONLY | os.O_RDWR | os.O_PATH):
                return ESCAPE, f"opened as {fd}"
            try:
                content = os.read(fd, 64)
            except OSError as problem:
                return REACHED, f"opened, {problem}"
            return (ESCAPE, f"read {content[:24]!r}") if content else (HELD, "empty")

        PROBES.append((title, one))


def reads_secret(fd, error=0):
    """What opening the secret in some way came to."""
    if fd < 0:
        return no_path(fd, error)
    content = os.pread(fd, 64, 0)
    return (ESCAPE, "read the secret") if content.startswith(b"belljar secret") else (HELD, f"another file: {content[:16]!r}")


def machine_code(code):
    """A function of six numbers made of these bytes. Needs memory that may be executed."""
    address = libc.syscall(ctypes.c_long(9), ctypes.c_long(0), ctypes.c_long(4096), ctypes.c_long(7), ctypes.c_long(0x22),
                           ctypes.c_long(-1), ctypes.c_long(0))
    assert address > 0, "no executable memory"
    ctypes.memmove(address, code, len(code))
    return ctypes.CFUNCTYPE(ctypes.c_long, *[ctypes.c_long] * 6)(address)


def raw(result):
    """What a raw instruction left in rax, as judge() takes it."""
    result = ctypes.c_int(result).value if -4096 < ctypes.c_int(result).value < 0 else result
    return (-1, -result) if -4096 < result < 0 else (result, 0)


def say(verdict, detail=""):
    os.write(1, f"@@{verdict} {detail}\n".encode("utf-8", "replace"))


def run_probe(index):
    title, function = PROBES[index]
    try:
        verdict, detail = function()
    except OSError as problem:  # a plain refusal of something that the probe needs on its way
        verdict, detail = judge(-1, problem.errno, REACHED, ENOENT, EROFS, errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.ENOMEM, errno.EMFILE, errno.EAGAIN)
        detail = f"{verdict}: {problem}"
    except (MemoryError, RuntimeError, ValueError) as problem:  # setrlimit says ValueError
        verdict, detail = HELD, repr(problem)
    say(verdict, detail)
