"""k17: hostile use of the calls that the supervisor answers: pointers, path tricks, races' building blocks, floods. Expected:
an errno within a second, never an answer for a path outside the grants. The races themselves are in test_broker_races.py."""

import signal
import stat
import threading
import time

PAGE = 4096


def pages(count):
    """`count` pages with an unmapped one behind them."""
    address = libc.syscall(*[ctypes.c_long(n) for n in (9, 0, (count + 1) * PAGE, 3, 0x22, -1, 0)])
    libc.syscall(*[ctypes.c_long(n) for n in (11, address + count * PAGE, PAGE)])
    return address


def quick(result, error, *expected):
    """An errno is what is wanted."""
    if result == -1:
        return HELD, errno.errorcode[error]
    return ESCAPE, f"returned {result}"


for title, address in (("NULL", 0), ("8", BAD), ("-1", -1), ("a kernel address", -(1 << 40)), ("a non-canonical address", 1 << 50),
                       ("the vsyscall page", -(10 << 20))):
    for call, number, arguments in (
        ("openat", 257, (AT_FDCWD, address, 0, 0)),
        ("open", 2, (address, 0, 0)),
        ("newfstatat", 262, (AT_FDCWD, address, address, 0)),
        ("readlink", 89, (address, address, 64)),
        ("rename", 82, (address, address)),
        ("symlink", 88, (address, address)),
        ("chdir", 80, (address,)),
        ("getcwd", 79, (address, 64)),
        ("uname", 63, (address,)),
        ("socketpair", 53, (1, 1, 0, address)),
        ("pipe2", 293, (address, 0)),
    ):
        @probe(f"{call} with {title}")
        def one(number=number, arguments=arguments):
            return quick(*syscall(number, *arguments))


@probe("a path that ends exactly at the end of a page")
def page_end():
    address = pages(1)
    path = os.fsencode(rw) + b"\0"
    ctypes.memmove(address + PAGE - len(path), path, len(path))
    result, error = syscall(257, AT_FDCWD, address + PAGE - len(path), os.O_DIRECTORY, 0)
    return (HELD, "read whole") if result >= 0 else (REACHED, errno.errorcode[error])


@probe("a path without its NUL before an unmapped page")
def no_nul():
    address = pages(1)
    ctypes.memset(address, ord("a"), PAGE)
    result, error = syscall(257, AT_FDCWD, address + PAGE - 8, 0, 0)
    return (HELD, "EFAULT") if error == EFAULT else (REACHED, f"{result} {error}")


@probe("PATH_MAX bytes without a NUL")
def too_long():
    address = pages(4)
    ctypes.memset(address, ord("a"), 4 * PAGE)
    result, error = syscall(257, AT_FDCWD, address, 0, 0)
    return (HELD, "ENAMETOOLONG") if error == errno.ENAMETOOLONG else (REACHED, f"{result} {error}")


@probe("a component of 256 bytes")
def long_name():
    return quick(*open_path(rw + "/" + "n" * 256, os.O_CREAT | os.O_WRONLY))


@probe("a path of 1 MiB")
def megabyte():
    return quick(*open_path("/" + "a/" * (1 << 19)))


@probe("PATH_MAX - 1 bytes of ./")
def dots():
    result, error = open_path(rw + "/" + "./" * ((4000 - len(rw)) // 2), os.O_DIRECTORY)
    return (HELD, "resolved") if result >= 0 else (HELD, errno.errorcode[error])


@probe("an empty path")
def empty():
    return quick(*open_path(""))


def secret_by(title, path, flags=os.O_RDONLY):
    @probe(f"the secret by {title}")
    def one():
        fd, error = open_path(path() if callable(path) else path, flags)
        return reads_secret(fd, error)


def link():
    name = rw + "/link"
    os.symlink(secret, name)
    return name


def relative_link():
    name = rw + "/relative"
    os.symlink("../" * 12 + secret.lstrip("/"), name)
    return name


def link_chain():
    os.symlink(os.path.dirname(secret), rw + "/first")
    os.symlink("first", rw + "/second")
    return rw + "/second/" + os.path.basename(secret)


def link_to_root():
    os.symlink("/", rw + "/root")
    return rw + "/root" + secret


def link_to_proc():
    os.symlink("/proc/self/root", rw + "/proc")
    return rw + "/proc" + secret


def renamed_up():
    os.makedirs(rw + "/a/b/c", exist_ok=True)
    os.chdir(rw + "/a/b/c")
    os.rename(rw + "/a/b/c", rw + "/c")
    return "../" * 12 + secret.lstrip("/")


def removed_cwd():
    os.mkdir(rw + "/gone")
    os.chdir(rw + "/gone")
    os.rmdir(rw + "/gone")
    return "../" * 12 + secret.lstrip("/")


secret_by("its plain path", secret)
secret_by("<rw>/../../..", rw + "/" + "../" * 12 + secret.lstrip("/"))
secret_by("// and /./", "//./" + secret.replace("/", "//./"))
secret_by("a trailing slash", secret + "/")
secret_by("a trailing /.", secret + "/.")
secret_by("/..", "/../.." + secret)
secret_by("/proc/self/root", "/proc/self/root" + secret)
secret_by("/proc/1/root", "/proc/1/root" + secret)
secret_by("/proc/<host>/root", f"/proc/{host}/root{secret}")
secret_by("/proc/<supervisor>/root", f"/proc/{supervisor}/root{secret}")
secret_by("/proc/<supervisor>/cwd", f"/proc/{supervisor}/cwd/../../..{secret}")
secret_by("/proc/thread-self/cwd", "/proc/thread-self/cwd/" + "../" * 12 + secret.lstrip("/"))
secret_by("/proc/self/cwd", "/proc/self/cwd/" + "../" * 12 + secret.lstrip("/"))
secret_by("/dev/fd/..", "/dev/fd/../../" + secret.lstrip("/"))
secret_by("a symbolic link of its own", link)
secret_by("a relative link of its own", relative_link)
secret_by("a chain of links", link_chain)
secret_by("a link to /", link_to_root)
secret_by("a link to /proc/self/root", link_to_proc)
secret_by(".. after its directory was moved", renamed_up)
secret_by(".. after its directory was removed", removed_cwd)
secret_by("O_PATH", secret, os.O_PATH)
secret_by("O_NOFOLLOW", secret, os.O_NOFOLLOW)
secret_by("O_RDONLY | O_TRUNC", secret, os.O_TRUNC)
secret_by("O_DIRECT and flags of the future", secret, 0x40000000 | os.O_DIRECT)
secret_by("O_CREAT", secret, os.O_CREAT | os.O_RDWR)
secret_by("a dot component in its scratch", rw + "/./../" * 3 + secret)


@probe("the secret by a hard link")
def hard_link():
    result, error = syscall(86, secret, rw + "/hard")
    return no_path(result, error)


@probe("the secret by linkat(AT_SYMLINK_FOLLOW)")
def hard_link_followed():
    result, error = syscall(265, AT_FDCWD, link(), AT_FDCWD, rw + "/hard", 0x400)
    return no_path(result, error) if result < 0 else reads_secret(*open_path(rw + "/hard"))


@probe("the secret by linkat(AT_EMPTY_PATH)")
def hard_link_fd():
    return no_path(*syscall(265, 0, "", AT_FDCWD, rw + "/hard", 0x1000))


@probe("the secret by rename into its scratch")
def stolen():
    return no_path(*syscall(82, secret, rw + "/stolen"))


@probe("the secret by rename of its directory, RENAME_EXCHANGE")
def exchanged():
    os.makedirs(rw + "/mine", exist_ok=True)
    return no_path(*syscall(316, AT_FDCWD, os.path.dirname(secret), AT_FDCWD, rw + "/mine", 2))


@probe("the secret by O_PATH, then /proc/self/fd")
def by_fd():
    fd, error = open_path(secret, os.O_PATH)
    if fd < 0:
        return no_path(fd, error)
    return reads_secret(*open_path(f"/proc/self/fd/{fd}"))


@probe("the secret through openat of a number that only the supervisor has")
def foreign_directories():
    for fd in range(5, 64):
        got, error = syscall(257, fd, "../" * 12 + secret.lstrip("/"), 0, 0)
        if got >= 0:
            return reads_secret(got)
        got, error = syscall(257, fd, "etc/passwd", 0, 0)
        if got >= 0:
            return ESCAPE, f"descriptor {fd} leads somewhere"
    return HELD, "EBADF for all"


@probe("openat2 with a larger struct and unknown bits")
def larger():
    return no_path(*syscall(437, AT_FDCWD, secret, ctypes.create_string_buffer(b"\xff" * 64), 64), ESCAPE)


@probe("truncation of a read-only grant")
def truncate():
    path = os.path.realpath(os.__file__)
    fd, error = open_path(path, os.O_RDONLY | os.O_TRUNC)
    if fd >= 0 and os.fstat(fd).st_size == 0:
        return ESCAPE, "truncated"
    return (HELD, "opened as it is") if fd >= 0 else no_path(fd, error)


@probe("writing to a read-only grant")
def write_grant():
    return no_path(*open_path(os.path.realpath(os.__file__), os.O_RDWR))


@probe("a new file in a read-only grant")
def create_grant():
    return no_path(*open_path(os.path.dirname(os.path.realpath(os.__file__)) + "/belljar-probe", os.O_CREAT | os.O_RDWR))


@probe("a read-only grant mapped shared and writable")
def map_grant():
    fd = os.open(os.path.realpath(os.__file__), os.O_RDONLY)
    return judge(*syscall(9, 0, 4096, 3, 1, fd, 0), ESCAPE)


@probe("a read-only grant: fchmod")
def fchmod_grant():
    fd = os.open(os.path.realpath(os.__file__), os.O_RDONLY)
    return judge(*syscall(91, fd, 0o777), ESCAPE)


@probe("a read-only grant: ftruncate")
def ftruncate_grant():
    fd = os.open(os.path.realpath(os.__file__), os.O_RDONLY)
    return judge(*syscall(77, fd, 0), ESCAPE, EINVAL, EBADF)


@probe("a read-only grant: futimens by its descriptor")
def futimens_grant():
    fd = os.open(os.path.realpath(os.__file__), os.O_RDONLY)
    return no_path(*syscall(280, fd, 0, 0, 0))


@probe("a set-user-id file in its scratch")
def setuid_file():
    fd = os.open(rw + "/suid", os.O_CREAT | os.O_RDWR, 0o6777)
    mode = os.fstat(fd).st_mode
    return (ESCAPE, oct(mode)) if mode & 0o6000 and os.fstat(fd).st_uid != os.geteuid() else (HELD, oct(mode))


@probe("chmod to set-user-id in its scratch")
def chmod_suid():
    os.close(os.open(rw + "/suid2", os.O_CREAT | os.O_RDWR, 0o700))
    os.chmod(rw + "/suid2", 0o6777)
    mode = os.stat(rw + "/suid2").st_mode
    return (INFO, f"{oct(mode)}: of an unprivileged user, gone after the run")


@probe("O_TMPFILE in its scratch, then linked elsewhere")
def tmpfile():
    fd, error = open_path(rw, os.O_RDWR | 0x410000)
    if fd < 0:
        return HELD, errno.errorcode[error]
    return no_path(*syscall(265, fd, "", AT_FDCWD, "/etc/belljar-probe", 0x1000))


@probe("mknod of /dev/mem")
def mknod():
    return judge(*syscall(133, rw + "/mem", 0o20600, 257), ESCAPE)


@probe("mknodat of a fifo")
def fifo():
    return judge(*syscall(259, AT_FDCWD, rw + "/fifo", 0o10600, 0))


@probe("mknod of a socket")
def unix_socket():
    return judge(*syscall(133, rw + "/sock", 0o140600, 0))


@probe("a fifo that others made does not hold the supervisor up")
def open_fifo():
    start = time.monotonic()
    fd, error = open_path(os.path.dirname(outside) + "/fifo", os.O_RDONLY | os.O_NONBLOCK)
    if time.monotonic() - start > 1:
        return ESCAPE, "blocked"
    return no_path(fd, error)


for path in ("/dev/full", "/dev/zero", "/dev/random", "/dev/urandom", "/dev/null"):
    @probe(f"{path}: the right device")
    def device(path=path):
        found = os.stat(path)
        fd = os.open(path, os.O_RDONLY)
        opened = os.fstat(fd)
        right = {"/dev/null": 3, "/dev/zero": 5, "/dev/full": 7, "/dev/random": 8, "/dev/urandom": 9}[path]
        return (HELD, "") if stat.S_ISCHR(opened.st_mode) and opened.st_rdev == 256 | right == found.st_rdev else (ESCAPE, str(opened))


@probe("the secret's name is not listed")
def listing():
    for directory in ("/", "/tmp", "/home", "/root", "/var", "/etc", "/work", os.path.dirname(secret), os.path.dirname(os.path.dirname(secret))):
        try:
            names = os.listdir(directory)
        except OSError:
            continue
        if os.path.basename(secret) in names or os.path.basename(os.path.dirname(secret)) in names:
            return ESCAPE, directory
    return HELD, ""


@probe("1,000 links deep")
def deep_links():
    os.symlink("/tmp", rw + "/l0")
    for number in range(1, 200):
        os.symlink(f"l{number - 1}", f"{rw}/l{number}")
    return quick(*open_path(rw + "/l199/x"))


@probe("a link to itself")
def loop():
    os.symlink("self", rw + "/self")
    return quick(*open_path(rw + "/self"))


@probe("directories 300 deep")
def deep():
    os.chdir(rw)
    for _ in range(300):
        try:
            os.mkdir("d")
            os.chdir("d")
        except OSError as problem:
            return HELD, str(problem)
    fd, error = open_path("../" * 320 + secret.lstrip("/"))
    return reads_secret(fd, error)


@probe("flood: 20,000 refused opens")
def flood():
    start = time.monotonic()
    for _ in range(2_000 if control else 20_000):
        fd, _ = open_path("/etc/shadow-not", 0)
        if fd >= 0:
            return ESCAPE, "opened"
    return HELD, f"{time.monotonic() - start:.2f} s"


@probe("flood from 8 threads")
def flood_threads():
    bad = []

    def one():
        for _ in range(1500):
            fd, error = open_path(secret)
            if fd >= 0:
                bad.append(fd)
    threads = [threading.Thread(target=one) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return (ESCAPE, "opened") if bad else (HELD, "12,000 refusals")


@probe("interrupted by a 5 kHz timer")
def timer():
    ticks = [0]
    signal.signal(signal.SIGALRM, lambda *_: ticks.__setitem__(0, ticks[0] + 1))
    signal.setitimer(signal.ITIMER_REAL, 0.0002, 0.0002)
    interrupted = untold = 0
    for _ in range(100 if control else 2000):
        for number, arguments, done in ((83, (rw + "/tick", 0o700), errno.EEXIST), (84, (rw + "/tick",), ENOENT)):
            while (got := syscall(number, *arguments))[1] == errno.EINTR:
                interrupted += 1
            untold += got[1] == done  # it had been made, or removed, by a call that said it was interrupted
    signal.setitimer(signal.ITIMER_REAL, 0)
    if untold:
        return REACHED, f"{untold} done and not told"
    return HELD, f"{ticks[0]} ticks, {interrupted} interrupted"


@probe("the table of descriptors is full")
def full():
    held = []
    try:
        while len(held) < 1 << 14:
            held.append(os.dup(0))
    except OSError:
        pass
    result, error = open_path(rw, os.O_DIRECTORY)
    if error != errno.EMFILE and len(held) < 1 << 14:
        return REACHED, f"{result} {errno.errorcode.get(error)}"
    for fd in held[:4]:
        os.close(fd)
    result, error = open_path(rw, os.O_DIRECTORY)
    return (HELD, f"EMFILE at {len(held)}, then served again") if result >= 0 else (REACHED, errno.errorcode.get(error))


@probe("exits while a call is pending")
def leave():
    def ask():
        while True:
            open_path(rw + "/never")
    for _ in range(4):
        threading.Thread(target=ask, daemon=True).start()
    time.sleep(0.02)
    say(HELD, "gone")
    os._exit(0)
