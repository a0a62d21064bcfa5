"""k15: descriptors that came along. Expected: 0 to 4 are a guest's own; no directory, listener, ruleset or pidfd."""

import stat

table([
    ("fchdir(0)", 81, (0,), ESCAPE, ENOTDIR, EBADF),
    ("fchdir(3)", 81, (3,), ESCAPE, ENOTDIR, EBADF),
    ("close_range(3, ~0): closes its channel", 436, (3, 0xFFFFFFFF, 0)),
    ("dup(1 << 20)", 32, (1 << 20,), ESCAPE, EBADF),
    ("openat(3, x): the channel as a directory", 257, (3, "x", 0, 0), ESCAPE, ENOTDIR, EBADF),
])


@probe("more than five descriptors are open")
def count():
    extra = []
    for fd in range(5, 1024):
        try:
            extra.append((fd, os.fstat(fd)))
        except OSError:
            pass
    return (ESCAPE, str(extra)) if extra and not control else (HELD, "0 to 4")


@probe("a directory is among them")
def directory():
    found = []
    for fd in range(64):
        try:
            if stat.S_ISDIR(os.fstat(fd).st_mode):
                found.append(fd)
        except OSError:
            pass
    return (ESCAPE, str(found)) if found else (HELD, "none")


@probe("one of them is a file of the host")
def regular():
    found = []
    for fd in range(64):
        try:
            mode = os.fstat(fd).st_mode
            if stat.S_ISREG(mode) or stat.S_ISBLK(mode) or stat.S_ISCHR(mode) and fd != 0 and not control:
                found.append(fd)
        except OSError:
            pass
    return (ESCAPE, str(found)) if found else (HELD, "none")


def from_directory(title, path, flags=os.O_RDONLY):
    @probe(f"from a granted directory's descriptor: {title}")
    def one():
        directory = os.open("/usr/lib/python3", os.O_RDONLY | os.O_DIRECTORY)
        fd, error = syscall(257, directory, path, flags, 0o600)
        return reads_secret(fd, error)


up = "../" * 12
from_directory("..", up + secret.lstrip("/"))
from_directory("an absolute path", secret)
from_directory("./.././..", "./" + up + "." + secret)
from_directory("a new file in it", "belljar-probe", os.O_RDWR | os.O_CREAT)
from_directory("O_TMPFILE in it", ".", os.O_RDWR | 0x410000)
from_directory("O_PATH of ..", "../../..", os.O_PATH)


@probe("fchdir to a granted directory, then ..")
def walk():
    directory = os.open("/usr/lib/python3", os.O_RDONLY | os.O_DIRECTORY)
    os.fchdir(directory)
    fd, error = open_path(up + secret.lstrip("/"))
    return reads_secret(fd, error)


@probe("getdents on a granted directory leads out")
def dents():
    names = os.listdir("/usr/lib/python3/../../..")
    return (ESCAPE, str(names)) if os.path.basename(os.path.dirname(secret)) in names or "root" in names else (HELD, str(names)[:60])


@probe("a descriptor dup'ed over another is still judged by its path")
def confused():
    one = os.open(rw, os.O_RDONLY | os.O_DIRECTORY)
    two = os.open("/usr/lib/python3", os.O_RDONLY | os.O_DIRECTORY)
    os.dup2(two, one)  # native: the supervisor does not see it
    fd, error = syscall(257, one, "belljar-probe", os.O_RDWR | os.O_CREAT, 0o600)
    if fd < 0:
        return no_path(fd, error)
    if os.path.exists(rw + "/belljar-probe") and not os.path.exists("/usr/lib/python3/belljar-probe"):
        return HELD, "made in its own scratch"
    return ESCAPE, "made in a read-only grant"


@probe("dup until EMFILE")
def flood():
    count = 0
    try:
        while count < 1 << 14:
            os.dup(0)
            count += 1
    except OSError as problem:
        return (HELD if count < 4096 else ESCAPE), f"{count}, then {problem.strerror}"
    return ESCAPE, "no end"
