"""An answer into the guest's own memory that is read only: the kernel's own answer would be EFAULT."""
page = take(8192); libc.mprotect(page, 8192, READ)
reached = []
for name, ask in {
    "stat": lambda: libc.syscall(4, b"/work", _c.c_void_p(page)),
    "getcwd": lambda: libc.syscall(79, _c.c_void_p(page), 4096),
    "uname": lambda: libc.syscall(63, _c.c_void_p(page)),
    "statfs": lambda: libc.syscall(137, b"/work", _c.c_void_p(page)),
    "sysinfo": lambda: libc.syscall(99, _c.c_void_p(page)),
    "pipe2": lambda: libc.syscall(293, _c.c_void_p(page), 0),
    "getgroups": lambda: libc.syscall(115, 10, _c.c_void_p(page)),
    "getresuid": lambda: libc.syscall(118, _c.c_void_p(page), _c.c_void_p(page + 8), _c.c_void_p(page + 16)),
    "socketpair": lambda: libc.syscall(53, 1, 1, 0, _c.c_void_p(page)),
    "getrlimit": lambda: libc.syscall(97, 7, _c.c_void_p(page)),
}.items():
    if ask() >= 0 and any(_c.string_at(page, 8192)):
        reached.append(name)
        libc.mprotect(page, 8192, READ | WRITE); _c.memset(page, 0, 8192); libc.mprotect(page, 8192, READ)
print("REACHED" if reached else "refused", *reached)
