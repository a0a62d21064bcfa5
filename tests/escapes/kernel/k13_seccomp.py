"""k13: seccomp from the inside. Expected: EPERM; a listener of its own is out of the question."""

allow = ctypes.create_string_buffer(b"\x06\0\0\0\0\0\xff\x7f", 8)  # ret ALLOW
program = (ctypes.c_ulong * 2)(1, ctypes.addressof(allow))
table([
    ("seccomp(GET_ACTION_AVAIL)", 317, (2, 0, BAD)),
    ("seccomp(GET_NOTIF_SIZES)", 317, (3, 0, ctypes.create_string_buffer(8))),
    ("seccomp(STRICT, bad flags)", 317, (0, 1, 0)),
    ("seccomp(FILTER, NEW_LISTENER)", 317, (1, 8, program), ESCAPE),
    ("seccomp(FILTER, NEW_LISTENER|TSYNC|TSYNC_ESRCH)", 317, (1, 25, program), ESCAPE),
    ("seccomp(FILTER, SPEC_ALLOW): mitigations off", 317, (1, 4, program), ESCAPE),
    ("seccomp(FILTER, LOG)", 317, (1, 2, program), ESCAPE),
    ("seccomp(FILTER)", 317, (1, 0, program), ESCAPE),
    ("seccomp(FILTER, bad)", 317, (1, 0, BAD)),
    ("seccomp(99)", 317, (99, 0, 0)),
    ("prctl(SET_SECCOMP, FILTER)", 157, (22, 2, program), ESCAPE),
])
