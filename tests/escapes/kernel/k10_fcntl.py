"""k10: fcntl beyond one's own table of descriptors. Expected: EPERM; no signal to others; locks do nothing."""

word = ctypes.create_string_buffer(64)
table([
    ("fcntl(1, F_SETOWN, host)", 72, (1, 8, host)),
    ("fcntl(1, F_SETOWN, victim)", 72, (1, 8, victim)),
    ("fcntl(0, F_SETOWN, -1)", 72, (0, 8, -1)),
    ("fcntl(1, F_GETOWN)", 72, (1, 9, 0)),
    ("fcntl(1, F_SETOWN_EX)", 72, (1, 15, word)),
    ("fcntl(1, F_GETOWN_EX)", 72, (1, 16, word)),
    ("fcntl(1, F_SETSIG, SIGKILL)", 72, (1, 10, 9)),
    ("fcntl(1, F_GETSIG)", 72, (1, 11, 0)),
    ("fcntl(1, F_SETFL, O_ASYNC)", 72, (1, 4, 0x2000)),
    ("fcntl(1, F_SETFL, O_NONBLOCK): its own end of a pipe, as FIONBIO does it", 72, (1, 4, 0x800), REACHED, 0),
    ("fcntl(3, F_SETFL, O_NONBLOCK): its own end of a pair", 72, (3, 4, 0x800), REACHED, 0),
    ("fcntl(1, F_SETFL, O_SYNC): the kernel ignores it", 72, (1, 4, 0x101000), REACHED, 0),
    ("fcntl(1, F_SETFL, O_NOATIME)", 72, (1, 4, 0x40000)),
    ("fcntl(1, F_SETFL, O_DIRECT): packets", 72, (1, 4, 0x4000)),
    ("fcntl(0, F_SETLEASE)", 72, (0, 1024, 0)),
    ("fcntl(0, F_GETLEASE)", 72, (0, 1025, 0)),
    ("fcntl(0, F_NOTIFY)", 72, (0, 1026, 1)),
    ("fcntl(1, F_SETPIPE_SZ, 1 MiB)", 72, (1, 1031, 1 << 20)),
    ("fcntl(1, F_ADD_SEALS)", 72, (1, 1033, 0)),
    ("fcntl(1, F_GET_SEALS)", 72, (1, 1034, 0)),
    ("fcntl(1, F_SET_RW_HINT)", 72, (1, 1036, word)),
    ("fcntl(1, F_DUPFD_QUERY)", 72, (1, 1027, 1)),
    ("fcntl(1, F_CREATED_QUERY)", 72, (1, 1028, 0)),
    ("fcntl(0, F_CANCELLK)", 72, (0, 1029, word)),
    ("fcntl(-1, F_OFD_SETLKW): the kernel would say EBADF", 72, (-1, 38, word), REACHED, 0),
    ("fcntl(-1, F_SETLK)", 72, (-1, 6, word), REACHED, 0),
    ("fcntl(-1, F_SETLKW)", 72, (-1, 7, word), REACHED, 0),
    ("flock(-1)", 73, (-1, 2), REACHED, 0),
    ("fcntl command with high bits: F_SETOWN", 72, (1, 8 | 1 << 32, host)),
    ("fcntl command with high bits: F_SETSIG", 72, (1, 10 | 7 << 32, 9)),
    ("fcntl(1, -1)", 72, (1, -1, 0)),
])


@probe("F_SETPIPE_SZ: its own pipe becomes larger than it was made")
def larger_pipe():
    for size in (65537, 1 << 20, 1 << 31, -1, 65536 | 1 << 33):
        syscall(72, 1, 1031, size)
    size, _ = syscall(72, 1, 1032, 0)
    return (HELD if size <= 65536 else REACHED), f"{size} bytes"


@probe("F_SETOWN and F_SETSIG(SIGKILL) on a pair signal the victim")
def signal_victim():
    import socket

    a, b = socket.socketpair()
    for command, value in ((8, victim), (10, 9), (4, 0x2000)):
        result, error = syscall(72, a.fileno(), command, value)
        if result == -1:
            return judge(result, error)
    b.send(b"x")
    return ESCAPE, "armed"


@probe("a lease on a scratch file")
def lease():
    fd = os.open(rw + "/lease", os.O_RDWR | os.O_CREAT, 0o600)
    return judge(*syscall(72, fd, 1024, 1))


@probe("a lock that another descriptor feels")
def lock():
    import fcntl

    one, two = (os.open(rw + "/lock", os.O_RDWR | os.O_CREAT, 0o600) for _ in range(2))
    fcntl.flock(one, fcntl.LOCK_EX)
    try:
        fcntl.flock(two, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return REACHED, "real locks: a channel between guests that share a file"
    return HELD, "no lock is taken"
