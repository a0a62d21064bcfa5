"""k19: what a guest can learn about the host and its neighbours. Expected: the jar's own made-up truth, or a refusal.
Clocks stay (a language cannot do without); their resolution is the number to report."""

import time

word = ctypes.create_string_buffer(512)
table([
    ("mincore of its own memory", 27, (word, 4096, word)),
    ("perf_event_open(itself)", 298, (word, 0, -1, -1, 0), ESCAPE),
    ("cachestat", 451, (0, word, word, 0)),
    ("getpriority(victim)", 140, (0, victim), ESCAPE, ESRCH),
    ("getpriority(host)", 140, (0, host), ESCAPE, ESRCH),
    ("getpriority(user)", 140, (2, 0), ESCAPE),
    ("getpgid(host)", 121, (host,), ESCAPE, ESRCH),
    ("getpgid(victim)", 121, (victim,), ESCAPE, ESRCH),
    ("getsid(host)", 124, (host,), ESCAPE, ESRCH),
    ("getsid(victim)", 124, (victim,), ESCAPE, ESRCH),
    ("sched_getscheduler(host)", 145, (host,), ESCAPE, ESRCH),
    ("sched_getparam(victim)", 143, (victim, word), ESCAPE, ESRCH),
    ("sched_getattr(victim)", 315, (victim, word, 48, 0), ESCAPE, ESRCH),
    ("ioprio_get(victim)", 252, (1, victim), ESCAPE, ESRCH),
    ("clock_gettime of the host's CPU clock", 228, (~host << 3 | 2, word), ESCAPE, EINVAL),
    ("clock_gettime of the victim's CPU clock", 228, (~victim << 3 | 2, word), ESCAPE, EINVAL),
    ("clock_getres of the victim's CPU clock", 229, (~victim << 3 | 2, word), ESCAPE, EINVAL),
    ("clock_gettime of a descriptor's clock", 228, (~0 << 3 | 3, word), REACHED),
    ("clock_nanosleep by the victim's clock", 230, (~victim << 3 | 2, 0, word, 0), ESCAPE),
    ("prctl(GET_TSC)", 157, (25, word, 0, 0, 0)),
    ("syslog(READ_ALL)", 103, (3, word, 512), ESCAPE),
    ("move_pages(itself): which node", 279, (0, 1, word, 0, word, 0)),
    ("get_mempolicy", 239, (word, word, 64, 0, 0)),
    ("getcpu", 309, (word, 0, 0)),
])


@probe("a page cache probe of a shared file")
def page_cache():
    import mmap

    with open(os.path.realpath(os.__file__), "rb") as file:
        mapped = mmap.mmap(file.fileno(), 4096, mmap.MAP_PRIVATE, mmap.PROT_READ)
    address = libc.syscall(*[ctypes.c_long(n) for n in (9, 0, 4096, 1, 2, os.open(os.path.realpath(os.__file__), os.O_RDONLY), 0)])
    del mapped
    return judge(*syscall(27, address, 4096, word), ESCAPE)


@probe("sysinfo: the machine's load, uptime and memory")
def sysinfo():
    result, error = syscall(99, word)
    if result == -1:
        return judge(result, error)
    uptime = int.from_bytes(word.raw[0:8], "little")
    loads = int.from_bytes(word.raw[8:32], "little")
    return (ESCAPE, f"up {uptime} s") if uptime or loads else (HELD, "made up")


@probe("getrusage(CHILDREN): earlier guests")
def children():
    result, error = syscall(98, -1, word)
    if result == -1:
        return judge(result, error)
    return (HELD, "zeros") if word.raw[:144] == bytes(144) else (ESCAPE, "times of others")


@probe("times: earlier guests")
def times():
    result, error = syscall(100, word)
    return (HELD, "no children") if word.raw[16:32] == bytes(16) else (ESCAPE, "times of others")


@probe("uname: the host's name and kernel")
def uname():
    syscall(63, word)
    names = word.raw[65:130].rstrip(b"\0"), word.raw[130:195].rstrip(b"\0")
    return (HELD, str(names)) if b"belljar" in word.raw else (ESCAPE, str(names))


@probe("statfs(/): the host's free space")
def statfs():
    result, error = syscall(137, "/", word)
    if result == -1:
        return judge(result, error)
    return (ESCAPE, "blocks and free space") if control else (INFO, f"total {int.from_bytes(word.raw[16:24], 'little')} blocks")


for who, pid in (("host", host), ("victim", victim), ("nobody", 1 << 21), ("itself", 0)):
    @probe(f"sched_getaffinity({who}): the machine's CPUs")
    def affinity(pid=pid):
        result, error = syscall(204, pid, 128, word)
        if result == -1:
            return judge(result, error, ESCAPE, ESRCH)
        return (HELD, "one CPU, whoever is asked for") if word.raw[:8] == bytes([1]) + bytes(7) else (ESCAPE, word.raw[:8].hex())


@probe("getpid: the host's numbers")
def pid():
    return INFO, f"{os.getpid()}, parent {os.getppid()}"


@probe("getppid is not the zygote")
def parent():
    return (HELD, "0") if os.getppid() == 0 else (REACHED, str(os.getppid()))


@probe("clock_gettime's resolution")
def resolution():
    steps = []
    last = time.perf_counter_ns()
    for _ in range(10_000):
        now = time.perf_counter_ns()
        if now != last:
            steps.append(now - last)
        last = now
    return INFO, f"{min(steps)} ns"


@probe("/proc/loadavg, /proc/uptime and /proc/stat are made up")
def load():
    found = []
    for name in ("loadavg", "uptime", "stat", "meminfo", "cpuinfo", "version"):
        with open(f"/proc/{name}") as file:
            found.append(file.read())
    real = "belljar" not in found[4] + found[5]
    return (ESCAPE, found[0]) if real else (HELD, "")


@probe("environment of the zygote")
def environment():
    made_up = {"HOME": "/home/user", "USER": "user", "LOGNAME": "user", "PWD": "/work"}
    interesting = [key for key, value in os.environ.items() if made_up.get(key, value) != value or key in ("SHELL", "PROBE_SECRET")]
    return (ESCAPE, str(interesting)) if interesting else (HELD, str(sorted(os.environ))[:80])


@probe("a marker of the host's environment is nowhere in its memory")
def marker():
    # The initial stack: what a process was executed with stays there.
    try:
        import ctypes.util

        pointer = ctypes.c_void_p.in_dll(libc, "environ").value
        if not pointer:
            return HELD, "no environment"
        strings = [ctypes.string_at(p) for p in iter_pointers(pointer)]
    except ValueError as problem:
        return INFO, str(problem)
    return (ESCAPE, "found") if any(b"PROBE_SECRET" in s for s in strings) else (HELD, f"{len(strings)} variables")


def iter_pointers(address):
    while True:
        value = ctypes.c_void_p.from_address(address).value
        if not value:
            return
        yield value
        address += 8


@probe("uuid1 and random numbers: not the zygote's state")
def uuid():
    import random
    import uuid

    return INFO, f"{uuid.uuid4()} {random.random()}"
