"""When the host forks the session, a thread that holds the interpreter's lock clones as well, more than once: one permit is one
process."""
FLAGS = 0x8000 | 0x01000000 | 0x00200000 | 17
sys.setswitchinterval(100)
def breed():
    word = _c.c_int()
    time.sleep(0.3)
    made, end = 0, time.monotonic() + 4
    while made < 12 and time.monotonic() < end:
        got = held.syscall(56, FLAGS, 0, 0, _c.byref(word), 0)
        if got == 0:
            while True: pass
        if got > 0:
            made += 1
native_thread(breed)
x = 42
# ==== idle 0.6
# ==== branch
x
# ==== idle 1
# ==== close
# ==== idle 1
