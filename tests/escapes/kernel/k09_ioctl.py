"""k09: ioctl on the descriptors that it has. Expected: EPERM, except FIOCLEX, FIONCLEX, FIONBIO; terminals answer ENOTTY."""

word = ctypes.create_string_buffer(256)
table([
    ("ioctl(0, TIOCSTI)", 16, (0, 0x5412, word)),
    ("ioctl(0, TIOCSTI | 1 << 32): the kernel looks at 32 bits", 16, (0, 0x5412 | 1 << 32, word)),
    ("ioctl(0, TIOCLINUX)", 16, (0, 0x541C, word)),
    ("ioctl(0, TIOCSCTTY)", 16, (0, 0x540E, 0)),
    ("ioctl(0, TIOCNOTTY)", 16, (0, 0x5422, 0)),
    ("ioctl(1, TIOCCONS)", 16, (1, 0x541D, 0)),
    ("ioctl(1, TIOCSETD)", 16, (1, 0x5423, word)),
    ("ioctl(1, FIOASYNC)", 16, (1, 0x5452, word)),
    ("ioctl(1, FIOSETOWN)", 16, (1, 0x8901, word)),
    ("ioctl(1, SIOCSPGRP)", 16, (1, 0x8902, word)),
    ("ioctl(1, FIONREAD)", 16, (1, 0x541B, word)),
    ("ioctl(3, SIOCGIFCONF)", 16, (3, 0x8912, word)),
    ("ioctl(3, SIOCGIFHWADDR)", 16, (3, 0x8927, word)),
    ("ioctl(3, SIOCETHTOOL)", 16, (3, 0x8946, word)),
    ("ioctl(3, SIOCUNIXFILE)", 16, (3, 0x89E0, word)),
    ("ioctl(0, FICLONE)", 16, (0, 0x40049409, 0), REACHED, EOPNOTSUPP),
    ("ioctl(0, FICLONERANGE)", 16, (0, 0x4020940D, word)),
    ("ioctl(0, FIDEDUPERANGE)", 16, (0, 0xC0189436, word)),
    ("ioctl(0, FS_IOC_SETFLAGS)", 16, (0, 0x40086602, word)),
    ("ioctl(0, FS_IOC_GETFLAGS)", 16, (0, 0x80086601, word)),
    ("ioctl(0, FIFREEZE)", 16, (0, 0xC0045877, word)),
    ("ioctl(0, FITRIM)", 16, (0, 0xC0185879, word)),
    ("ioctl(0, FIBMAP)", 16, (0, 1, word)),
    ("ioctl(0, FIGETBSZ)", 16, (0, 2, word)),
    ("ioctl(0, BLKFLSBUF)", 16, (0, 0x1261, 0)),
    ("ioctl(-1, KVM_CREATE_VM)", 16, (-1, 0xAE01, 0)),
    ("ioctl(-1, NS_GET_USERNS)", 16, (-1, 0xB701, 0)),
    ("ioctl(-1, VT_OPENQRY)", 16, (-1, 0x5600, word)),
    ("ioctl(-1, SECCOMP_IOCTL_NOTIF_RECV)", 16, (-1, 0xC0502100, word)),
    ("ioctl(0, 0)", 16, (0, 0, 0)),
    ("ioctl(0, 0xffffffff)", 16, (0, 0xFFFFFFFF, 0)),
    ("ioctl(0, TCSETS): there is no terminal", 16, (0, 0x5402, word), REACHED, ENOTTY),
    ("ioctl(0, TIOCSPGRP): there is no terminal", 16, (0, 0x5410, word), REACHED, ENOTTY),
])


@probe("one of its descriptors is a seccomp listener")
def listener():
    for fd in range(64):
        # NOTIF_ID_VALID answers ENOENT on a listener.
        if syscall(16, fd, 0x40082102, word) == (-1, ENOENT):
            return ESCAPE, f"descriptor {fd}"
    return HELD, "none"


@probe("a scratch file: FS_IOC_SETFLAGS")
def set_flags():
    fd = os.open(rw + "/flags", os.O_RDWR | os.O_CREAT, 0o600)
    return judge(*syscall(16, fd, 0x40086602, word))


@probe("a scratch file: FICLONE of itself")
def clone_file():
    fd = os.open(rw + "/clone", os.O_RDWR | os.O_CREAT, 0o600)
    return judge(*syscall(16, fd, 0x4020940D, word))
