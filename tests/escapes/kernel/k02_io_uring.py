"""k02: operations that a filter never sees. Expected: EPERM, ENOSYS or SIGSYS; no ring."""

table([
    ("io_uring_setup(1, bad pointer)", 425, (1, BAD)),
    ("io_uring_setup: a ring", 425, (1, ctypes.create_string_buffer(256)), ESCAPE),
    ("io_uring_enter(-1)", 426, (-1, 0, 0, 0, 0, 0)),
    ("io_uring_register(-1)", 427, (-1, 0, 0, 0)),
    ("io_setup(1, bad pointer)", 206, (1, BAD)),
    ("io_setup: a context", 206, (1, ctypes.create_string_buffer(8)), ESCAPE),
    ("io_submit(0)", 209, (0, 1, BAD)),
    ("io_getevents(0)", 208, (0, 0, 0, 0, 0)),
    ("io_cancel(0)", 210, (0, 0, 0)),
    ("io_destroy(0)", 207, (0,)),
    ("io_pgetevents(0)", 333, (0, 0, 0, 0, 0, 0)),
])
