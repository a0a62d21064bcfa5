"""A thread that stays makes others between two runs, one a millisecond, when nobody counts."""
attributes = _c.create_string_buffer(64)
libc.pthread_attr_init(attributes); libc.pthread_attr_setstacksize(attributes, _c.c_size_t(65536))
def breed():
    time.sleep(0.3)
    handle = _c.c_ulong()
    for _ in range(1500):
        if libc.pthread_create(_c.byref(handle), attributes, libc.sleep, _c.c_void_p(30)) != 0: break
        time.sleep(0.001)
native_thread(breed)
# ==== idle 3
# ==== next run
1
