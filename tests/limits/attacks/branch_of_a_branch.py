"""A branch's own threads clone while the branch is young, before its first question to the supervisor."""
FLAGS = 0x8000 | 0x01000000 | 0x00200000 | 17
def after():
    word = _c.c_int()
    for _ in range(12):
        if libc.syscall(56, FLAGS, 0, 0, _c.byref(word), 0) == 0:
            while True: pass
os.register_at_fork(after_in_child=after, after_in_parent=after)
x = 1
# ==== branch
x
# ==== idle 1
# ==== close
# ==== idle 1
