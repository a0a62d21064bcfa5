"""k04: /proc, /sys, and descriptors by other names. Expected: ENOENT, EACCES or EPERM, or the jar's own made-up content;
nothing of the host or of a sibling can be read."""

W, RW, DIRECTORY, O_PATH = os.O_WRONLY, os.O_RDWR, os.O_DIRECTORY, os.O_PATH
paths([
    ("open /proc/self/mem for writing", "/proc/self/mem", RW),
    ("open /proc/self/mem", "/proc/self/mem", os.O_PATH),
    ("open /proc/1/mem", "/proc/1/mem", os.O_PATH),
    ("open /proc/<victim>/mem", f"/proc/{victim}/mem", RW),
    ("open /proc/<victim>/maps", f"/proc/{victim}/maps"),
    ("open /proc/<victim>/environ", f"/proc/{victim}/environ"),
    ("open /proc/<victim>/cmdline", f"/proc/{victim}/cmdline"),
    ("open /proc/<victim>/fd", f"/proc/{victim}/fd", DIRECTORY),
    ("open /proc/<host>/environ", f"/proc/{host}/environ"),
    ("open /proc/<host>/cmdline", f"/proc/{host}/cmdline"),
    ("open /proc/<host>/fd", f"/proc/{host}/fd", DIRECTORY),
    ("open /proc/<host>/root/etc/passwd", f"/proc/{host}/root/etc/passwd"),
    ("open /proc/<supervisor>/fd", f"/proc/{supervisor}/fd", DIRECTORY),
    ("open /proc/<supervisor>/cmdline", f"/proc/{supervisor}/cmdline"),
    ("open /proc/<zygote>/maps", f"/proc/{zygote}/maps"),
    ("open /proc/self/fd/99, which is none", "/proc/self/fd/99", W),
    ("open /proc/1/fd/1", "/proc/1/fd/1", W),
    ("open /proc/self/fd/0", "/proc/self/fd/0", O_PATH),
    ("open /proc/self/fd", "/proc/self/fd", DIRECTORY),
    ("open /dev/fd/-1", "/dev/fd/-1", W),
    ("open /dev/tty", "/dev/tty", RW),
    ("open /dev/kmsg", "/dev/kmsg", O_PATH),
    ("open /dev/mem", "/dev/mem", O_PATH),
    ("open /dev/fuse", "/dev/fuse", O_PATH),
    ("open /dev/kvm", "/dev/kvm", O_PATH),
    ("open /dev/vda", "/dev/vda", O_PATH),
    ("open /dev/ptmx", "/dev/ptmx", RW),
    ("open /proc/self/exe for writing", "/proc/self/exe", W),
    ("open /proc/self/maps (addresses)", "/proc/self/maps"),
    ("open /proc/self/smaps", "/proc/self/smaps"),
    ("open /proc/self/environ", "/proc/self/environ"),
    ("open /proc/self/auxv", "/proc/self/auxv"),
    ("open /proc/self/stack", "/proc/self/stack", O_PATH),
    ("open /proc/self/syscall", "/proc/self/syscall"),
    ("open /proc/self/attr/current for writing", "/proc/self/attr/current", W),
    ("open /proc/self/oom_score_adj for writing", "/proc/self/oom_score_adj", W),
    ("open /proc/self/coredump_filter for writing", "/proc/self/coredump_filter", W),
    ("open /proc/self/uid_map for writing", "/proc/self/uid_map", W),
    ("open /proc/self/clear_refs", "/proc/self/clear_refs", W),
    ("open /proc/self/comm for writing", "/proc/self/comm", W),
    ("open /proc/sys/kernel/core_pattern for writing", "/proc/sys/kernel/core_pattern", W),
    ("open /proc/sys/kernel/randomize_va_space", "/proc/sys/kernel/randomize_va_space"),
    ("open /proc/sysrq-trigger", "/proc/sysrq-trigger", W),
    ("open /proc/kallsyms", "/proc/kallsyms"),
    ("open /proc/kcore", "/proc/kcore", O_PATH),
    ("open /proc/net/tcp", "/proc/net/tcp"),
    ("open /proc/net/unix", "/proc/net/unix"),
    ("open /proc/self/net/route", "/proc/self/net/route"),
    ("open /proc/1/environ", "/proc/1/environ", O_PATH),
    ("open /proc/self/ns/user", "/proc/self/ns/user"),
    ("open /proc/self/ns/net", "/proc/self/ns/net", O_PATH),
    ("open /proc/self/timerslack_ns", "/proc/self/timerslack_ns", RW),
    ("open /proc/thread-self/mem", "/proc/thread-self/mem", RW),
    ("open /proc/self/task/<tid>/mem", f"/proc/self/task/{os.getpid()}/mem", RW),
    ("open /proc/self/pagemap", "/proc/self/pagemap"),
    ("open /proc/interrupts", "/proc/interrupts"),
    ("open /proc/cmdline", "/proc/cmdline"),
    ("open /proc/keys", "/proc/keys", O_PATH),
    ("open /sys/fs/cgroup", "/sys/fs/cgroup", DIRECTORY),
    ("open /sys/kernel", "/sys/kernel", DIRECTORY),
    ("open /sys/class/net", "/sys/class/net", DIRECTORY),
    ("open the secret", secret),
    ("open the secret's directory", os.path.dirname(secret), DIRECTORY),
    ("open /etc/shadow as a path", "/etc/shadow", O_PATH),
    ("open /root", "/root", O_PATH),
])


for name, own in (("/dev/stdout", 1), ("/dev/fd/1", 1), ("/proc/self/fd/1", 1), ("/proc/self/../self/fd/1", 1), ("/dev/stdin", 0)):
    @probe(f"open {name}: it must be that descriptor again, not the pipe opened anew")
    def opened_anew(name=name, own=own):
        fd, error = open_path(name, W)
        if fd < 0:
            return no_path(fd, error)
        before = fcntl.fcntl(own, fcntl.F_GETFL)
        os.set_blocking(fd, not os.get_blocking(fd))  # of the description: both see it, if it is one
        shared = fcntl.fcntl(own, fcntl.F_GETFL) != before
        os.set_blocking(fd, not os.get_blocking(fd))
        os.close(fd)
        return (HELD, "duplicated") if shared else (ESCAPE, "opened anew")


def says(number, *arguments):
    """A call that tells about the secret: existence and size are leaks as well."""
    return no_path(*syscall(number, *arguments))


buffer = ctypes.create_string_buffer(256)


for name in "/proc/self/cwd/..", "/proc/self/root", "/proc/self/root/..":
    @probe(f"open {name}: it must be the guest's own root")
    def own_root(name=name):
        fd, error = open_path(name, DIRECTORY)
        if fd < 0:
            return no_path(fd, error)
        shown = sorted(os.listdir(fd))
        os.close(fd)
        is_own = shown == sorted(os.listdir("/")) and "work" in shown
        return (HELD, "its own root") if is_own else (ESCAPE, shown)


@probe("readlink /proc/<host>/exe")
def host_exe():
    return no_path(*syscall(89, f"/proc/{host}/exe", buffer, 255))


@probe("readlink /proc/<victim>/cwd")
def victim_cwd():
    return no_path(*syscall(89, f"/proc/{victim}/cwd", buffer, 255))


@probe("readlink of the secret: EINVAL would say that it is there")
def read_secret_link():
    return judge(*syscall(89, secret, buffer, 255), ESCAPE, ENOENT)


@probe("readlink /proc/self/fd/0: more than what fstat tells")
def own_fd():
    result, error = syscall(89, "/proc/self/fd/0", buffer, 255)
    if not control and result > 0 and buffer.raw[:result] == f"pipe:[{os.fstat(0).st_ino}]".encode():
        return HELD, "its own pipe's number, which fstat has as well"
    return no_path(result, error)


for name, number, arguments in (
    ("stat", 4, (secret, buffer)),
    ("lstat", 6, (secret, buffer)),
    ("newfstatat(AT_FDCWD, AT_EMPTY_PATH): the exception for fstat abused", 262, (AT_FDCWD, secret, buffer, 0x1000)),
    ("newfstatat(0, AT_EMPTY_PATH): an absolute path ignores the descriptor", 262, (0, secret, buffer, 0x1000)),
    ("newfstatat(0, AT_EMPTY_PATH | 1 << 32)", 262, (0, secret, buffer, 0x1000 | 1 << 32)),
    ("newfstatat(AT_SYMLINK_NOFOLLOW)", 262, (AT_FDCWD, secret, buffer, 0x100)),
    ("statx(0, AT_EMPTY_PATH)", 332, (0, secret, 0x1000, 0xFFF, buffer)),
    ("access", 21, (secret, 0)),
    ("faccessat2(AT_EMPTY_PATH)", 439, (0, secret, 0, 0x1000)),
    ("statfs", 137, (secret, buffer)),
    ("truncate", 76, (secret, 0)),
    ("utimensat", 280, (AT_FDCWD, secret, 0, 0)),
    ("chmod", 90, (secret, 0o644)),
    ("openat2", 437, (AT_FDCWD, secret, ctypes.create_string_buffer(24), 24)),
    ("name_to_handle_at", 303, (AT_FDCWD, secret, buffer, buffer, 0)),
    ("execve of it", 59, (secret, 0, 0)),
    ("getxattr", 191, (secret, "user.x", buffer, 8)),
    ("inotify_add_watch", 254, (-1, secret, 2)),
    ("mkdir in its directory", 83, (os.path.dirname(secret) + "/made", 0o700)),
):
    @probe(f"{name}, of the secret")
    def one(name=name, number=number, arguments=arguments):
        result, error = syscall(number, *arguments)
        if name.startswith("newfstatat") and result == 0 and not control:
            # The trap does fstat of the descriptor instead: it must not be the secret's inode.
            same = int.from_bytes(buffer.raw[8:16], "little") == secret_inode
            return (ESCAPE, "the secret's inode") if same else (HELD, "fstat of the descriptor")
        if result == -1 and error == EOPNOTSUPP and number == 191:
            return HELD, "EOPNOTSUPP, of the filter"
        if result == -1 and error == EBADF and name.startswith("newfstatat") and not control:
            return HELD, "EBADF: fstat of the descriptor"
        return no_path(result, error)
