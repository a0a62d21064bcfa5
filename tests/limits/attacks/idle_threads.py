"""A thread that stays makes others between two runs, when nobody counts."""
def pause(): time.sleep(60)
def breed():
    time.sleep(0.3)
    handle = _c.c_ulong()
    for _ in range(1000):
        if libc.pthread_create(_c.byref(handle), None, libc.sleep, _c.c_void_p(30)) != 0: break
native_thread(breed)
# ==== idle 2
# ==== next run
1
