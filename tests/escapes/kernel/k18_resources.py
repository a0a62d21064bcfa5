"""k18: exhaustion, and limits that the guest tries to raise. Expected: every number stays below the limit, and the machine
has it back afterwards. A probe that gets all `mb` MiB that it tries for escapes: in the jar the limit lies below that."""

import mmap
import resource
import threading

MB = 1 << 20
word = ctypes.create_string_buffer(256)


def limit(title, which):
    @probe(f"raises {title}")
    def one():
        before = resource.getrlimit(which)
        if before[1] == resource.RLIM_INFINITY:
            return INFO, "no limit: another holds"
        resource.setrlimit(which, (before[1] + 1, before[1] + 1))
        now = resource.getrlimit(which)
        return (HELD, f"{before} stays") if now == before else (ESCAPE, f"{before} -> {now}")


for name in ("AS", "DATA", "NOFILE", "CORE", "FSIZE", "CPU", "NPROC", "STACK", "MEMLOCK", "SIGPENDING", "MSGQUEUE", "NICE",
             "RTPRIO", "RTTIME"):
    limit(f"RLIMIT_{name}", getattr(resource, "RLIMIT_" + name))

new_limit = (ctypes.c_ulong * 2)(1, 1)
table([
    ("prlimit64(host, CPU, 1)", 302, (host, 0, new_limit, 0), ESCAPE, ESRCH),
    ("prlimit64(victim, NOFILE)", 302, (victim, 7, new_limit, 0), ESCAPE, ESRCH),
    ("prlimit64(supervisor, NOFILE)", 302, (supervisor, 7, new_limit, 0), ESCAPE, ESRCH),
    ("prlimit64(zygote, NOFILE)", 302, (zygote, 7, new_limit, 0), ESCAPE, ESRCH),
    ("prlimit64(1, read)", 302, (1, 7, 0, word), ESCAPE, ESRCH),
    ("setrlimit(bad)", 160, (0, BAD)),
    ("mlock of 16 MiB", 149, (ctypes.create_string_buffer(16 << 20), 16 << 20), ESCAPE),
    ("mlockall(FUTURE)", 151, (2,), ESCAPE),
    ("mlock2", 325, (word, 16, 0), ESCAPE),
    ("sched_setscheduler(FIFO)", 144, (0, 1, (ctypes.c_int * 1)(1)), ESCAPE),
    ("sched_setscheduler(BATCH)", 144, (0, 3, (ctypes.c_int * 1)(0)), REACHED),
    ("sched_setparam(as it is)", 142, (0, (ctypes.c_int * 1)(0)), REACHED, 0),
    ("sched_setparam(1)", 142, (0, (ctypes.c_int * 1)(1)), ESCAPE, EINVAL),
    ("sched_setattr(DEADLINE)", 314, (0, BAD, 0)),
    ("sched_setaffinity(all CPUs): of them it has one", 203, (0, 8, (ctypes.c_ulong * 1)(-1 & (1 << 64) - 1)), ESCAPE, 0),
    ("sched_setaffinity(another CPU)", 203, (0, 8, (ctypes.c_ulong * 1)(2)), ESCAPE, EINVAL),
    ("setpriority(-20)", 141, (0, 0, -20), ESCAPE),
    ("setpriority(+1)", 141, (0, 0, 1), REACHED),
    ("setpriority(victim)", 141, (0, victim, 19), ESCAPE, ESRCH),
    ("ioprio_set(real time)", 251, (1, 0, 1 << 13), ESCAPE),
    ("timer_create", 222, (1, 0, word), ESCAPE),
    ("timerfd_create", 283, (1, 0), ESCAPE),
    ("inotify_init1", 294, (0,), ESCAPE),
    ("fanotify_init", 300, (0, 0), ESCAPE),
    ("swapon", 167, (BAD, 0)),
])


@probe("anonymous memory by mmap")
def by_mmap():
    held = []
    for number in range(mb):
        piece = mmap.mmap(-1, MB, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        piece[::4096] = b"x" * 256
        held.append(piece)
    return ESCAPE, f"{len(held)} MiB"


@probe("anonymous memory by brk")
def by_brk():
    start = libc.syscall(ctypes.c_long(12), ctypes.c_long(0))
    wanted = start + mb * MB
    got = libc.syscall(ctypes.c_long(12), ctypes.c_long(wanted))
    return (ESCAPE, f"{mb} MiB") if got == wanted else (HELD, "the break stays")


@probe("shared anonymous memory")
def by_shared():
    held = []
    for number in range(mb):
        piece = mmap.mmap(-1, MB, mmap.MAP_SHARED | mmap.MAP_ANONYMOUS)
        piece[::4096] = b"x" * 256
        held.append(piece)
    return ESCAPE, f"{len(held)} MiB"


@probe("memory in a memfd")
def by_memfd():
    fd = os.memfd_create("x")
    os.posix_fallocate(fd, 0, mb * MB)
    return ESCAPE, f"{mb} MiB"


@probe("memory by mremap")
def by_mremap():
    address = libc.syscall(*[ctypes.c_long(n) for n in (9, 0, MB, 3, 0x22, -1, 0)])
    return judge(*syscall(25, address, MB, mb * MB, 1), ESCAPE, errno.ENOMEM)


@probe("a stack by MAP_GROWSDOWN")
def by_stack():
    return judge(*syscall(9, 0, MB, 3, 0x122, -1, 0), ESCAPE)


@probe("memory in pipe buffers")
def by_pipes():
    held = 0
    try:
        while held < mb * MB:
            read, write = os.pipe()
            os.set_blocking(write, False)
            try:
                while True:
                    held += os.write(write, bytes(65536))
            except BlockingIOError:
                pass
    except OSError as problem:
        return (HELD if held <= 16 * MB else ESCAPE), f"{held >> 10} KiB, then {problem}"
    return ESCAPE, f"{held >> 20} MiB"


@probe("memory in socket buffers")
def by_sockets():
    import socket

    held, sockets = 0, []
    try:
        while held < mb * MB:
            a, b = socket.socketpair()
            sockets += [a, b]
            for s in (a, b):
                s.setblocking(False)
                try:
                    while True:
                        held += s.send(bytes(65536))
                except BlockingIOError:
                    pass
    except OSError as problem:
        return (HELD if held <= 24 * MB else ESCAPE), f"{held >> 10} KiB, then {problem}"  # 16 MiB (lockdown/limits.c)
    return ESCAPE, f"{held >> 20} MiB"


@probe("page tables of a sparse reservation")
def page_tables():
    size = 1 << 38
    result, error = syscall(9, 0, size, 3, 0x4022, -1, 0)
    return judge(result, error, ESCAPE, errno.ENOMEM)


@probe("page tables of a file mapped many times")
def page_tables_file():
    fd = os.open(rw + "/map", os.O_CREAT | os.O_RDWR, 0o600)
    os.ftruncate(fd, MB)
    count = 0
    for _ in range(4096):
        result, error = syscall(9, 0, MB, 1, 2, fd, 0)
        if result < 0:
            break
        count += 1
    return INFO, f"{count} mappings: address space, no pages"


@probe("disk: mb MiB in one file")
def one_file():
    fd = os.open(rw + "/big", os.O_CREAT | os.O_WRONLY, 0o600)
    for _ in range(mb):
        os.write(fd, bytes(MB))
    return ESCAPE, f"{mb} MiB"


@probe("disk: mb MiB in many files")
def many_files():
    for number in range(mb):
        fd = os.open(f"{rw}/part{number}", os.O_CREAT | os.O_WRONLY, 0o600)
        os.write(fd, bytes(MB))
        os.close(fd)
    return ESCAPE, f"{mb} MiB"


@probe("disk: written through a mapping")
def by_mapping():
    fd = os.open(rw + "/mapped", os.O_CREAT | os.O_RDWR, 0o600)
    os.ftruncate(fd, mb * MB)
    piece = mmap.mmap(fd, mb * MB, mmap.MAP_SHARED)
    for at in range(0, mb * MB, 4096):
        piece[at] = 1
    return ESCAPE, f"{mb} MiB"


@probe("disk: files that were unlinked and stay open")
def unlinked():
    held = []
    for number in range(mb):
        fd = os.open(f"{rw}/u", os.O_CREAT | os.O_WRONLY, 0o600)
        os.unlink(f"{rw}/u")
        os.write(fd, bytes(MB))
        held.append(fd)
    return ESCAPE, f"{mb} MiB"


@probe("disk: a sparse file of 1 TiB")
def sparse():
    fd = os.open(rw + "/sparse", os.O_CREAT | os.O_WRONLY, 0o600)
    os.ftruncate(fd, 1 << 40)
    return ESCAPE, "1 TiB"


@probe("disk: 400 files")
def inodes():
    for number in range(400):
        os.close(os.open(f"{rw}/n{number}", os.O_CREAT | os.O_WRONLY, 0o600))
    return ESCAPE, "400"


@probe("disk: 400 directories")
def directories():
    for number in range(400):
        os.mkdir(f"{rw}/d{number}")
    return ESCAPE, "400"


@probe("disk: 400 links")
def links():
    for number in range(400):
        os.symlink("x" * 200, f"{rw}/l{number}")
    return ESCAPE, "400"


@probe("stdout flood of mb MiB")
def stdout_flood():
    for _ in range(mb):
        os.write(1, b"x" * MB)
    return ESCAPE, f"{mb} MiB"


@probe("stderr flood of mb MiB")
def stderr_flood():
    for _ in range(mb):
        os.write(2, b"x" * MB)
    return ESCAPE, f"{mb} MiB"


@probe("1,000 epoll descriptors")
def epolls():
    held = []
    for _ in range(1000):
        result, error = syscall(291, 0)
        if result < 0:
            return HELD, f"{len(held)}, then {errno.errorcode[error]}"
        held.append(result)
    return ESCAPE, "1,000"


@probe("1,000 eventfds")
def events():
    for count in range(1000):
        result, error = syscall(290, 0, 0)
        if result < 0:
            return HELD, f"{count}, then {errno.errorcode[error]}"
    return ESCAPE, "1,000"


@probe("a core file")
def core():
    import signal

    resource.setrlimit(resource.RLIMIT_CORE, (resource.getrlimit(resource.RLIMIT_CORE)[1],) * 2)
    if resource.getrlimit(resource.RLIMIT_CORE)[1] == 0:
        return HELD, "0 is the most"
    return ESCAPE, "may be written"
