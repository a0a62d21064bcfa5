"""The costliest path there is, asked by eight threads; and meanwhile memory and threads that nobody looks at."""
os.chdir("/work")
for _ in range(400):
    os.mkdir("b"); os.chdir("b")
os.symlink("b/../" * 780 + "l", "l"); os.mkdir("b")
for _ in range(3): native_thread(lambda: [libc.access(b"l", 0) for _ in range(1000)])
time.sleep(0.05)
handle = _c.c_ulong()
for _ in range(300): libc.pthread_create(_c.byref(handle), None, libc.sleep, _c.c_void_p(30))
for _ in range(16):
    start = take(64 * MIB); touch(start, 64 * MIB); libc.mprotect(start, 64 * MIB, READ)
libc.access(b"l", 0)
while True: pass
