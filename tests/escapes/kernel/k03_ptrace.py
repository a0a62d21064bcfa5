"""k03: reading and writing other processes. Expected: death or EPERM for every call, on others and on itself."""

local = ctypes.create_string_buffer(16)
vector = (ctypes.c_ulong * 2)(ctypes.addressof(local), 16)
remote = (ctypes.c_ulong * 2)(ctypes.addressof(local), 16)
table([
    ("ptrace(TRACEME)", 101, (0, 0, 0, 0), ESCAPE),
    ("ptrace(SEIZE, victim)", 101, (0x4206, victim, 0, 0), ESCAPE),
    ("ptrace(ATTACH, victim)", 101, (16, victim, 0, 0), ESCAPE),
    ("ptrace(ATTACH, host)", 101, (16, host, 0, 0), ESCAPE),
    ("ptrace(ATTACH, supervisor)", 101, (16, supervisor, 0, 0), ESCAPE),
    ("ptrace(ATTACH, zygote)", 101, (16, zygote, 0, 0), ESCAPE),
    ("process_vm_readv(victim)", 310, (victim, vector, 1, remote, 1, 0), ESCAPE),
    ("process_vm_writev(victim)", 311, (victim, vector, 1, remote, 1, 0), ESCAPE),
    ("process_vm_readv(host)", 310, (host, vector, 1, remote, 1, 0), ESCAPE),
    ("process_vm_readv(itself)", 310, (os.getpid(), vector, 1, remote, 1, 0)),
    ("pidfd_open(victim)", 434, (victim, 0), ESCAPE),
    ("pidfd_open(itself)", 434, (os.getpid(), 0)),
    ("pidfd_getfd(-1)", 438, (-1, 0, 0)),
    ("kcmp(itself, victim)", 312, (os.getpid(), victim, 1, 0, 0), ESCAPE),
    ("process_madvise(-1)", 440, (-1, BAD, 1, 21, 0)),
    ("process_mrelease(-1)", 448, (-1, 0)),
    ("get_robust_list(victim)", 274, (victim, ctypes.create_string_buffer(8), ctypes.create_string_buffer(8)), ESCAPE),
    ("migrate_pages(victim)", 256, (victim, 1, ctypes.create_string_buffer(8), ctypes.create_string_buffer(8)), ESCAPE),
    ("move_pages(victim)", 279, (victim, 0, 0, 0, 0, 0), ESCAPE),
    ("move_pages(itself)", 279, (0, 1, BAD, 0, BAD, 0)),
])


@probe("pidfd_getfd(pidfd of the victim)")
def take_descriptor():
    fd, error = syscall(434, victim, 0)
    if fd < 0:
        return judge(fd, error)
    return judge(*syscall(438, fd, 0, 0), ESCAPE)
