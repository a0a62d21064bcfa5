"""k12: undoing parts of the lockdown. Expected: EPERM for all but PR_SET_NAME and the like, which the filter answers itself."""

word = ctypes.create_string_buffer(256)
table([
    ("prctl SET_DUMPABLE(1): siblings may trace it", 157, (4, 1, 0, 0, 0), ESCAPE),
    ("prctl SET_PDEATHSIG(0): outlives its parent", 157, (1, 0, 0, 0, 0), ESCAPE),
    ("prctl SET_PTRACER(ANY)", 157, (0x59616D61, -1, 0, 0, 0)),
    ("prctl SET_CHILD_SUBREAPER", 157, (36, 1, 0, 0, 0), ESCAPE),
    ("prctl SET_KEEPCAPS", 157, (8, 1, 0, 0, 0), ESCAPE),
    ("prctl SET_NO_NEW_PRIVS(0)", 157, (38, 0, 0, 0, 0), ESCAPE),
    ("prctl SET_SECCOMP(strict)", 157, (22, 1, 0, 0, 0)),
    ("prctl SET_SECCOMP(filter, bad)", 157, (22, 2, BAD, 0, 0)),
    ("prctl GET_SECCOMP", 157, (21, 0, 0, 0, 0)),
    ("prctl SET_MM", 157, (35, 0, 0, 0, 0)),
    ("prctl SET_SECUREBITS", 157, (28, 0x100, 0, 0, 0)),
    ("prctl CAP_AMBIENT", 157, (47, 2, 0, 0, 0)),
    ("prctl CAPBSET_DROP", 157, (24, 0, 0, 0, 0)),
    ("prctl SET_TSC(SIGSEGV)", 157, (26, 99, 0, 0, 0)),
    ("prctl GET_TSC", 157, (25, word, 0, 0, 0)),
    ("prctl SET_TIMERSLACK", 157, (29, 50000, 0, 0, 0)),
    ("prctl TASK_PERF_EVENTS_DISABLE", 157, (31, 0, 0, 0, 0)),
    ("prctl MCE_KILL", 157, (33, 0, 0, 0, 0)),
    ("prctl SET_THP_DISABLE", 157, (41, 1, 0, 0, 0)),
    ("prctl SET_SPECULATION_CTRL: store bypass on again", 157, (53, 0, 2, 0, 0)),
    ("prctl SET_SPECULATION_CTRL: indirect branches on again", 157, (53, 1, 2, 0, 0), ESCAPE),
    ("prctl GET_SPECULATION_CTRL", 157, (52, 0, 0, 0, 0)),
    ("prctl SET_IO_FLUSHER", 157, (57, 1, 0, 0, 0)),
    ("prctl SET_SYSCALL_USER_DISPATCH", 157, (59, 1, 0, 0, word)),
    ("prctl SCHED_CORE", 157, (62, 0, 0, 0, word)),
    ("prctl SET_MDWE", 157, (65, 1, 0, 0, 0)),
    ("prctl SET_VMA_ANON_NAME", 157, (0x53564D41, 0, 0x1000, 4096, "x"), REACHED, EINVAL),
    ("prctl SET_MEMORY_MERGE: pages shared across guests", 157, (67, 1, 0, 0, 0)),
    ("prctl FUTEX_HASH (6.16)", 157, (78, 1, 0, 0, 0)),
    ("prctl GET_AUXV", 157, (0x41555856, word, 256, 0, 0)),
    ("prctl SET_ENDIAN", 157, (20, 0, 0, 0, 0)),
    ("prctl SET_UNALIGN", 157, (6, 0, 0, 0, 0)),
    ("prctl SET_FPEMU", 157, (10, 0, 0, 0, 0)),
    ("prctl SET_NAME with bits above 32", 157, (15 | 1 << 32, BAD, 0, 0, 0), REACHED, 0),
    ("prctl(-1)", 157, (-1, 0, 0, 0, 0)),
    ("arch_prctl(SET_GS)", 158, (0x1001, BAD)),
    ("arch_prctl(SET_FS) to what it is", 158, (0x1003, word)),
    ("arch_prctl(MAP_VDSO_64)", 158, (0x2003, 0)),
    ("arch_prctl(MAP_VDSO_32)", 158, (0x2002, 0)),
    ("arch_prctl(REQ_XCOMP_PERM)", 158, (0x1023, 18), REACHED, EINVAL),
    ("arch_prctl(SHSTK_DISABLE)", 158, (0x5002, 1)),
    ("arch_prctl(CPUID off)", 158, (0x1012, 1)),
    ("personality(ADDR_NO_RANDOMIZE)", 135, (0x40000,), ESCAPE),
    ("personality query", 135, (0xFFFFFFFF,)),
    ("capset", 126, (BAD, BAD)),
    ("capget", 125, (BAD, BAD)),
    ("setuid(0)", 105, (0,), ESCAPE),
    ("setgid(0)", 106, (0,), ESCAPE),
    ("setreuid(0, 0)", 113, (0, 0), ESCAPE),
    ("setresuid(-1, 0, -1)", 117, (-1, 0, -1), ESCAPE),
    ("setresgid(-1, 0, -1)", 119, (-1, 0, -1), ESCAPE),
    ("setgroups", 116, (0, 0), ESCAPE),
    ("setfsuid(0)", 122, (0,)),
    ("setfsgid(0)", 123, (0,)),
])


@probe("no_new_privs is set")
def no_new_privs():
    try:
        with open("/proc/self/status") as status:
            text = status.read()
    except OSError as problem:
        return INFO, str(problem)
    if "NoNewPrivs" not in text:
        return HELD, "its own status is made up; the test looks from outside"
    return (HELD, "") if "NoNewPrivs:\t1" in text else (ESCAPE, "not set")
