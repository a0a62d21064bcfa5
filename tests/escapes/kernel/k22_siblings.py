"""k22: one guest against another of the same user, forked from the same zygote. Expected: nothing of it can be seen,
signalled, traced or met. The victim is a second guest; the zygote is tried as well."""

word = ctypes.create_string_buffer(512)
vector = (ctypes.c_ulong * 2)(ctypes.addressof(word), 16)
for who, pid in (("victim", victim), ("zygote", zygote), ("supervisor", supervisor)):
    table([
        (f"kill({who}, 0)", 62, (pid, 0), ESCAPE, ESRCH),
        (f"ptrace(SEIZE, {who})", 101, (0x4206, pid, 0, 0), ESCAPE, ESRCH),
        (f"process_vm_readv({who}): the same addresses", 310, (pid, vector, 1, vector, 1, 0), ESCAPE, ESRCH),
        (f"pidfd_open({who})", 434, (pid, 0), ESCAPE, ESRCH),
        (f"sched_setaffinity({who})", 203, (pid, 8, (ctypes.c_ulong * 1)(1)), ESCAPE, ESRCH),
        (f"setpriority({who}, 19)", 141, (0, pid, 19), ESCAPE, ESRCH),
        (f"prlimit64({who})", 302, (pid, 7, 0, word), ESCAPE, ESRCH),
        (f"ioprio_set({who})", 251, (1, pid, 3 << 13), ESCAPE, ESRCH),
        (f"kcmp({who})", 312, (pid, os.getpid(), 0, 0, 0), ESCAPE, ESRCH),
        (f"tgkill({who}, SIGUSR2): its traceback", 234, (pid, pid, 12), ESCAPE, ESRCH),
    ])
    paths([
        (f"/proc/<{who}>/mem", f"/proc/{pid}/mem", os.O_RDWR),
        (f"/proc/<{who}>/status", f"/proc/{pid}/status"),
        (f"/proc/<{who}>/root", f"/proc/{pid}/root", os.O_PATH),
    ])

table([
    ("SysV shared memory with a well-known key", 29, (0x62656C6C, 4096, 0o1666), ESCAPE),
    ("SysV semaphore with a well-known key", 64, (0x62656C6C, 1, 0o1666), ESCAPE),
    ("user keyring", 249, ("user", "belljar-meet", 0, 0), ESCAPE),
    ("abstract socket", 49, (-1, b"\x01\x00\x00meet", 7)),
])


@probe("kill(pid, 0) over 1..2000 finds another live process")
def scan():
    mine = {os.getpid(), syscall(186)[0]}
    found = []
    for pid in range(1, 2000 if not control else 40_000):
        result, error = syscall(62, pid, 0)
        if pid not in mine and result == 0:
            found.append(pid)
    return (ESCAPE, str(found[:8])) if found else (HELD, "none")


@probe("kill(pid, 0) tells ESRCH from EPERM")
def tells():
    answers = {syscall(62, pid, 0)[1] for pid in (victim, zygote, 1 << 21, (1 << 22) - 1)}
    return (ESCAPE, str(answers)) if len(answers) > 1 else (HELD, str(answers))


@probe("a common writable directory")
def common():
    for place in (rw, "/tmp", "/dev/shm", "/var/tmp", "/home/user", "/work"):
        for path in (place + "/meet-of-the-victim", place + "/meet"):
            if os.path.exists(path):
                return ESCAPE, path
    for place in ("/tmp", "/dev/shm", "/var/tmp"):
        try:
            with open(place + "/meet", "w") as file:
                file.write("here")
            if control:
                os.unlink(place + "/meet")
        except OSError:
            pass
    return (ESCAPE, "the machine's /tmp") if control else (HELD, "its own")


@probe("a shared page from the zygote")
def page():
    # Everything writable that it has is private: a write to a global of libc is not seen elsewhere. The test asks the victim.
    os.environ["MEET"] = "here"
    libc.setenv(b"BELLJAR_MEET", b"1", 1)
    return INFO, "written"
