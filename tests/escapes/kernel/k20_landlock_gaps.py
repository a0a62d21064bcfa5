"""k20: what Landlock does not restrict, so that another layer must. Expected: HELD by the broker or the filter."""

import socket

word = ctypes.create_string_buffer(512)
outer = os.path.dirname(outside)


def gap(title, number, *arguments):
    @probe(title)
    def one():
        result, error = syscall(number, *arguments)
        if error == EOPNOTSUPP and not control:
            return HELD, "EOPNOTSUPP, of the filter"
        return no_path(result, error)


gap("[gap] stat of an outside file", 4, outside, word)
gap("[gap] access to an outside directory", 21, outer, 0)
gap("[gap] readlink of an outside link", 89, outer + "/link", word, 255)
gap("[gap] open(O_PATH) of an outside file", 257, AT_FDCWD, outside, os.O_PATH, 0)
gap("[gap] chdir to an outside directory", 80, outer)
gap("[gap] statfs of an outside directory", 137, outer, word)
gap("[gap] chmod of an own file outside", 90, outside, 0o666)
gap("[gap] fchmodat of an own file outside", 268, AT_FDCWD, outside, 0o666)
gap("[gap] chown of an own file to itself", 92, outside, -1, -1)
gap("[gap] fchownat", 260, AT_FDCWD, outside, -1, -1, 0)
gap("[gap] utimensat", 280, AT_FDCWD, outside, 0, 0)
gap("[gap] utime", 132, outside, 0)
gap("[gap] utimes", 235, outside, 0)
gap("[gap] futimesat", 261, AT_FDCWD, outside, 0)
gap("[gap] setxattr user.x", 188, outside, "user.x", "1", 1, 0)
gap("[gap] getxattr", 191, outside, "user.x", word, 8)
gap("[gap] listxattr", 194, outside, word, 255)
gap("[gap] removexattr", 197, outside, "user.none")
gap("[gap] faccessat2", 439, AT_FDCWD, outside, 0, 0)
gap("[gap] statx", 332, AT_FDCWD, outside, 0, 0xFFF, word)
gap("[gap] name_to_handle_at", 303, AT_FDCWD, outside, word, word, 0)
gap("[gap] chroot", 161, outer)
gap("open for reading", 257, AT_FDCWD, outside, os.O_RDONLY, 0)
gap("open for writing", 257, AT_FDCWD, outside, os.O_WRONLY, 0)
gap("truncate (ABI 3)", 76, outside, 5)
gap("rename within the outside (REFER)", 82, outside, outside + ".new")
gap("link of an outside file", 86, outside, rw + "/linked")
gap("symlink made outside", 88, "x", outer + "/made-link")
gap("mkdir outside", 83, outer + "/made", 0o700)
gap("rmdir outside", 84, outer + "/empty")
gap("unlink outside", 87, outer + "/victim-file")
gap("list / (READ_DIR)", 257, AT_FDCWD, outer, os.O_RDONLY | os.O_DIRECTORY, 0)
gap("mknod outside", 133, outer + "/made-fifo", 0o10600, 0)
gap("execve outside", 59, outside, 0, 0)
@probe("rename out of its scratch")
def rename_out():
    os.close(os.open(rw + "/mine", os.O_CREAT | os.O_WRONLY, 0o600))
    return no_path(*syscall(82, rw + "/mine", outer + "/moved"))


table([
    ("[gap] UDP socket", 41, (2, 2, 0), ESCAPE),
    ("[gap] MPTCP socket", 41, (2, 1, 262), ESCAPE),
    ("[gap] raw ICMP socket", 41, (2, 2, 1), ESCAPE),
    ("[gap] netlink socket", 41, (16, 3, 0), ESCAPE),
    ("[gap] SysV shared memory", 29, (0, 4096, 0o1600), ESCAPE),
    ("[gap] POSIX message queue", 240, ("probe20", 0o102, 0o600, 0), ESCAPE),
    ("[gap] user keyring", 250, (0, -4, 1), ESCAPE),
    ("signal to the host (scope, ABI 6)", 62, (host, 0), ESCAPE, ESRCH),
    ("landlock_restrict_self: layers", 446, (-1, 0), REACHED, EOPNOTSUPP),
    ("[gap] flock on a file that another holds open", 73, (0, 2), REACHED, 0),
])


@probe("TCP connect to 127.0.0.1 (ABI 4)")
def tcp():
    result, error = syscall(41, 2, 1, 0)
    if result < 0:
        return judge(result, error, ESCAPE)
    return judge(*syscall(42, result, b"\x02\x00\x00\x09\x7f\x00\x00\x01" + bytes(8), 16), ESCAPE)


@probe("TCP bind (ABI 4)")
def bind():
    result, error = syscall(41, 2, 1, 0)
    if result < 0:
        return judge(result, error, ESCAPE)
    return judge(*syscall(49, result, b"\x02\x00\x00\x00\x7f\x00\x00\x01" + bytes(8), 16), ESCAPE)


@probe("[gap before ABI 9] connect to a UNIX socket by its path")
def unix_path():
    s = socket.socket(socket.AF_UNIX)
    s.connect(outer + "/socket")
    return ESCAPE, "connected"


@probe("connect to an abstract UNIX socket (scope, ABI 6)")
def unix_abstract():
    s = socket.socket(socket.AF_UNIX)
    s.connect("\0belljar-probe-host")
    return ESCAPE, "connected"
