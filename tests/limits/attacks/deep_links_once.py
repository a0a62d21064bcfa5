"""The costliest path there is, asked by three threads; and meanwhile memory and threads that nobody looks at."""
os.chdir("/work")
for _ in range(400):
    os.mkdir("b"); os.chdir("b")
os.symlink("b/../" * 780 + "l", "l"); os.mkdir("b")
threading.stack_size(1 << 18)
for _ in range(3): native_thread(lambda: [libc.access(b"l", 0) for _ in range(1000)])
time.sleep(0.05)
attributes = _c.create_string_buffer(64)
libc.pthread_attr_init(attributes); libc.pthread_attr_setstacksize(attributes, _c.c_size_t(65536))
handle = _c.c_ulong()
for _ in range(300): libc.pthread_create(_c.byref(handle), attributes, libc.sleep, _c.c_void_p(30))
try:
    for _ in range(24):
        start = take(32 * MIB); touch(start, 32 * MIB); libc.mprotect(start, 32 * MIB, READ)
except MemoryError: pass
while True: pass
