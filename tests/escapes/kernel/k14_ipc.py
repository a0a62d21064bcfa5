"""k14: kernel objects that two processes share, and sockets of every family. Expected: EPERM; a pair to itself is all."""

import socket

word = ctypes.create_string_buffer(256)
FAMILIES = (
    ("UNIX stream", 1, 1, 0, ESCAPE), ("UNIX datagram", 1, 2, 0, ESCAPE), ("INET stream", 2, 1, 0, ESCAPE),
    ("INET MPTCP: outside Landlock's TCP rules", 2, 1, 262, ESCAPE), ("INET datagram", 2, 2, 0, ESCAPE),
    ("INET UDP-Lite", 2, 2, 136, ESCAPE), ("INET raw", 2, 3, 1, ESCAPE), ("INET ping", 2, 2, 1, ESCAPE),
    ("INET SCTP", 2, 1, 132, REACHED), ("AX25", 3, 2, 0, REACHED), ("IPX", 4, 2, 0, REACHED), ("APPLETALK", 5, 2, 0, REACHED),
    ("NETROM", 6, 5, 0, REACHED), ("X25", 9, 5, 0, REACHED), ("INET6 stream", 10, 1, 0, ESCAPE),
    ("INET6 datagram", 10, 2, 0, ESCAPE), ("ROSE", 11, 5, 0, REACHED), ("KEY", 15, 3, 2, REACHED),
    ("NETLINK route", 16, 3, 0, ESCAPE), ("NETLINK netfilter", 16, 3, 12, ESCAPE), ("NETLINK kobject", 16, 3, 15, ESCAPE),
    ("NETLINK sock_diag", 16, 3, 4, ESCAPE), ("NETLINK audit", 16, 3, 9, ESCAPE), ("PACKET", 17, 3, 0, ESCAPE),
    ("RDS", 21, 5, 0, REACHED), ("PPPOX", 24, 2, 0, REACHED), ("LLC", 26, 2, 0, REACHED), ("CAN", 29, 3, 1, REACHED),
    ("TIPC", 30, 5, 0, REACHED), ("BLUETOOTH", 31, 3, 1, REACHED), ("ALG: the kernel's crypto", 38, 5, 0, REACHED),
    ("NFC", 39, 5, 0, REACHED), ("VSOCK: the hypervisor", 40, 1, 0, ESCAPE), ("KCM", 41, 2, 0, REACHED),
    ("QIPCRTR", 42, 2, 0, REACHED), ("SMC", 43, 1, 0, REACHED), ("XDP", 44, 3, 0, ESCAPE), ("MCTP", 45, 2, 0, REACHED),
    ("family 46", 46, 1, 0, REACHED), ("family 255", 255, 1, 0, REACHED), ("family -1", -1, 1, 0, REACHED),
    ("family with bits above 32", 1 << 32 | 2, 1, 0, ESCAPE),
)  # fmt: skip
# A container's own filter says EINVAL to NETLINK_AUDIT.
table([(f"socket {name}", 41, (family, kind, protocol), goal, *((EINVAL,) if name == "NETLINK audit" else ())) for name, family, kind, protocol, goal in FAMILIES])
pair = (ctypes.c_int * 2)()
table([
    ("socketpair TIPC", 53, (30, 5, 0, pair), REACHED, EAFNOSUPPORT, EINVAL),
    ("socketpair INET", 53, (2, 1, 0, pair), ESCAPE, *(() if control else (EAFNOSUPPORT, EINVAL))),
    ("socketpair NETLINK, with bits above 32", 53, (1 << 32 | 16, 1, 0, pair), ESCAPE, *(() if control else (EAFNOSUPPORT, EINVAL))),
    ("connect(3, a path)", 42, (3, b"\x01\x00/run/dbus/system_bus_socket", 30)),
    ("connect(3, abstract)", 42, (3, b"\x01\x00\x00probe", 8)),
    ("bind(3)", 49, (3, b"\x01\x00\x00probe", 8)),
    ("bind(-1)", 49, (-1, BAD, 8)),
    ("listen(-1)", 50, (-1, 1)),
    ("accept(3)", 43, (-1, 0, 0)),
    ("accept4(-1)", 288, (-1, 0, 0, 0)),
    ("setsockopt(3, SO_ATTACH_FILTER)", 54, (3, 1, 26, BAD, 16)),
    ("setsockopt(3, SO_PASSCRED)", 54, (3, 1, 16, word, 4)),
    ("setsockopt(3, SO_SNDBUFFORCE)", 54, (3, 1, 32, word, 4)),
    ("setsockopt(3, SO_SNDBUF)", 54, (3, 1, 7, word, 4)),
    ("sendmsg(3): could carry descriptors", 46, (3, BAD, 0)),
    ("sendmsg(-1)", 46, (-1, word, 0)),
    ("recvmsg(3)", 47, (3, BAD, 0x40)),
    ("sendmmsg(-1)", 307, (-1, BAD, 1, 0)),
    ("recvmmsg(-1)", 299, (-1, BAD, 1, 0, 0)),
    ("sendto(3) with an address", 44, (3, BAD, 1, 0x40, b"\x01\x00\x00probe", 8)),
    ("recvfrom(3) with an address", 45, (3, BAD, 0, 0x40, word, BAD)),
    ("shmget(PRIVATE)", 29, (0, 4096, 0o1600), ESCAPE),
    ("shmat(0)", 30, (0, 0, 0)),
    ("shmctl(0, IPC_STAT)", 31, (0, 2, word)),
    ("shmctl(SHM_INFO): all of the machine's", 31, (0, 14, word), ESCAPE),
    ("shmdt", 67, (BAD,)),
    ("semget(PRIVATE)", 64, (0, 1, 0o1600), ESCAPE),
    ("semop(-1)", 65, (-1, BAD, 1)),
    ("semtimedop(-1)", 220, (-1, BAD, 1, 0)),
    ("semctl(-1)", 66, (-1, 0, 99, 0)),
    ("msgget(PRIVATE)", 68, (0, 0o1600), ESCAPE),
    ("msgsnd(-1)", 69, (-1, BAD, 1, 0)),
    ("msgrcv(-1)", 70, (-1, BAD, 1, 0, 0)),
    ("msgctl(-1)", 71, (-1, 99, 0)),
    ("mq_open", 240, ("probe", 0o102, 0o600, 0), ESCAPE),
    ("mq_unlink", 241, ("probe-not-there",)),
    ("mq_timedsend(-1)", 242, (-1, BAD, 0, 0, 0)),
    ("mq_timedreceive(-1)", 243, (-1, BAD, 0, 0, 0)),
    ("mq_notify(-1)", 244, (-1, BAD)),
    ("mq_getsetattr(-1)", 245, (-1, 0, 0)),
    ("epoll_pwait(-1)", 281, (-1, BAD, 1, 0, 0, 8)),
    ("epoll_create", 213, (1,)),
    ("eventfd", 284, (0,)),
])


@probe("AF_UNIX pair: SO_PEERCRED tells about the supervisor")
def peer():
    a, _ = socket.socketpair()
    size = ctypes.c_int(12)
    result, error = syscall(55, a.fileno(), 1, 17, word, ctypes.create_string_buffer(bytes(size), 4))
    return judge(result, error, ESCAPE, errno.ENOPROTOOPT)


@probe("getsockopt(3, SO_PEERCRED): the host's pid and uid")
def channel_peer():
    size = ctypes.create_string_buffer((12).to_bytes(4, "little"), 4)
    return judge(*syscall(55, 3, 1, 17, word, size), ESCAPE, errno.ENOPROTOOPT)


@probe("getsockopt(3, SO_PEERPIDFD): a handle of the host")
def channel_pidfd():
    size = ctypes.create_string_buffer((4).to_bytes(4, "little"), 4)
    return judge(*syscall(55, 3, 1, 77, word, size), ESCAPE, errno.ENOPROTOOPT)


@probe("SCM_RIGHTS over a pair of its own")
def rights():
    a, b = socket.socketpair()
    socket.send_fds(a, [b"x"], [0])
    return ESCAPE, "a descriptor passed"


@probe("SCM_RIGHTS to the host")
def rights_host():
    if control:
        return INFO, "no channel"
    channel = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM, 0, os.dup(3))
    socket.send_fds(channel, [b"x"], [0])
    return ESCAPE, "a descriptor passed"


@probe("a datagram pair: its messages could have an address")
def datagrams():
    try:
        a, b = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    except OSError as problem:
        return HELD, str(problem)
    a.sendto(b"x", "\0probe")
    return ESCAPE, "sent"


@probe("recvfrom on a pair with an address to be filled in")
def from_whom():
    a, b = socket.socketpair()
    b.send(b"x")
    size = ctypes.create_string_buffer((128).to_bytes(4, "little"), 4)
    return judge(*syscall(45, a.fileno(), ctypes.create_string_buffer(8), 8, 0, word, size))


@probe("getaddrinfo")
def resolve():
    try:
        found = socket.getaddrinfo("192.0.2.7.example.org", 80)
    except OSError as problem:
        return HELD, str(problem)
    return ESCAPE, str(found)


@probe("create_connection to the host itself")
def connection():
    socket.create_connection(("127.0.0.1", 9), timeout=1)
    return ESCAPE, "connected"


@probe("POSIX shared memory")
def posix_shm():
    from multiprocessing import shared_memory

    block = shared_memory.SharedMemory(create=True, size=4096)
    place = os.path.exists("/dev/shm/" + block.name.lstrip("/"))
    block.unlink()
    return (ESCAPE, "in the machine's /dev/shm") if control else (HELD, f"a file of its own /tmp ({place})")
