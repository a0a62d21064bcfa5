"""k11: signals to others. Expected: EPERM or ESRCH for whoever is not the guest itself."""

import signal

info = ctypes.create_string_buffer(128)
info[0:4] = (10).to_bytes(4, "little")
info[8:12] = (-1).to_bytes(4, "little", signed=True)
rows = []
for who, pid in (("victim", victim), ("host", host), ("supervisor", supervisor), ("zygote", zygote), ("1", 1), ("2", 2)):
    rows += [
        (f"kill({who}, 0)", 62, (pid, 0), ESCAPE, ESRCH),
        (f"tkill({who}, 0)", 200, (pid, 0), ESCAPE, ESRCH),
        (f"tgkill({who}, {who}, 0)", 234, (pid, pid, 0), ESCAPE, ESRCH),
        (f"rt_sigqueueinfo({who})", 129, (pid, 10, info), ESCAPE, ESRCH),
    ]
table(rows)
table([
    ("kill(-1, 0): whoever it may", 62, (-1, 0), ESCAPE, ESRCH),
    ("kill(INT_MIN, 0)", 62, (-(1 << 31), 0), ESCAPE, ESRCH),
    ("kill(victim with bits above 32, 0)", 62, (victim | 1 << 32, 0), ESCAPE, ESRCH),
    ("kill(-victim, 0): its group", 62, (-victim, 0), ESCAPE, ESRCH),
    ("kill(-host, 0)", 62, (-host, 0), ESCAPE, ESRCH),
    ("tgkill(itself, victim, 0)", 234, (os.getpid(), victim, 0), ESCAPE, ESRCH),
    ("tgkill(-1, victim, 0)", 234, (-1, victim, 0), ESCAPE, ESRCH, EINVAL),
    ("rt_tgsigqueueinfo(victim)", 297, (victim, victim, 10, info), ESCAPE, ESRCH),
    ("rt_sigqueueinfo(itself): a forged sender", 129, (os.getpid(), 0, info)),
    ("pidfd_send_signal(-1)", 424, (-1, 0, 0, 0)),
    ("pidfd_send_signal(0)", 424, (0, 0, 0, 0)),
    ("kill(victim, SIGKILL)", 62, (victim, 9), ESCAPE, ESRCH),
    ("tgkill(victim, victim, SIGKILL)", 234, (victim, victim, 9), ESCAPE, ESRCH),
    ("kill(-victim, SIGSTOP)", 62, (-victim, 19), ESCAPE, ESRCH),
    ("signalfd4", 289, (-1, BAD, 8, 0)),
    ("signalfd", 282, (-1, BAD, 8)),
    ("rt_sigtimedwait", 128, (BAD, 0, BAD, 8)),
    ("rt_sigsuspend(bad)", 130, (BAD, 8)),
    ("rt_sigpending(bad)", 127, (BAD, 8)),
    ("timer_create", 222, (0, 0, info)),
    ("timerfd_create", 283, (1, 0)),
])


@probe("kill(0, 0): its group is itself alone")
def own_group():
    result, error = syscall(62, 0, 0)
    if result == -1:
        return judge(result, error, ESCAPE, ESRCH)
    return (ESCAPE, "a group") if control else (HELD, "the kernel's answer")


@probe("a handler for SIGKILL")
def handler_kill():
    try:
        signal.signal(signal.SIGKILL, signal.SIG_IGN)
    except OSError as problem:
        return HELD, str(problem)
    return ESCAPE, "set"


@probe("killpg of the host's group")
def host_group():
    return judge(*syscall(62, -host, 9), ESCAPE, ESRCH) if not control else (INFO, "not tried")
