"""k05: starting another program, and memory that becomes one. Expected: EPERM, EACCES, ENOSYS."""

table([
    ("execve with a bad pointer", 59, (BAD, 0, 0)),
    ("execve of a missing file", 59, ("/nowhere/x", 0, 0), ESCAPE),
    ("execve of the interpreter, with a bad argv", 59, (sys.executable, BAD, 0), ESCAPE),
    ("execveat(-1, AT_EMPTY_PATH)", 322, (-1, "", 0, 0, 0x1000)),
    ("execveat(0, AT_EMPTY_PATH)", 322, (0, "", 0, 0, 0x1000)),
    ("execveat with AT_EXECVE_CHECK", 322, (-1, "", 0, 0, 0x11000)),
    ("memfd_create", 319, ("x", 0), ESCAPE),
    ("memfd_create(MFD_EXEC)", 319, ("x", 0x10), ESCAPE),
    ("memfd_create(MFD_HUGETLB)", 319, ("x", 4), ESCAPE),
    ("memfd_create(MFD_ALLOW_SEALING)", 319, ("x", 2), ESCAPE),
    ("memfd_secret", 447, (0,), ESCAPE),
    ("uselib", 134, (BAD,)),
    ("anonymous RWX mapping", 9, (0, 4096, 7, 0x22, -1, 0), ESCAPE),
    ("anonymous RX mapping", 9, (0, 4096, 5, 0x22, -1, 0), ESCAPE),
    ("shared anonymous RWX mapping", 9, (0, 4096, 7, 0x21, -1, 0), ESCAPE),
    ("RWX mapping with protection bits above 32", 9, (0, 4096, 7 | 1 << 32, 0x22, -1, 0), ESCAPE),
    ("RWX mapping of a growing stack", 9, (0, 4096, 7, 0x122, -1, 0), ESCAPE),
    ("huge page mapping", 9, (0, 1 << 21, 3, 0x40022, -1, 0), ESCAPE),
    ("locked mapping", 9, (0, 4096, 3, 0x2022, -1, 0), ESCAPE),
    ("personality(READ_IMPLIES_EXEC)", 135, (0x400000,), ESCAPE),
    ("shmget(SHM_EXEC)", 29, (0, 4096, 0o1700), ESCAPE),
    ("pkey_alloc", 330, (0, 0), ESCAPE),
    ("remap_file_pages", 216, (BAD, 0, 0, 0, 0)),
])


def page():
    return libc.syscall(*[ctypes.c_long(n) for n in (9, 0, 8192, 3, 0x22, -1, 0)])


@probe("mprotect(PROT_EXEC) of an anonymous page")
def exec_page():
    return judge(*syscall(10, page(), 4096, 7), ESCAPE)


@probe("mprotect(READ|EXEC) of an anonymous page")
def exec_page_read():
    return judge(*syscall(10, page(), 4096, 5), ESCAPE)


@probe("mprotect with bits above 32")
def exec_high():
    return judge(*syscall(10, page(), 4096, 5 | 1 << 32), ESCAPE)


@probe("pkey_mprotect(PROT_EXEC)")
def exec_pkey():
    return judge(*syscall(329, page(), 4096, 7, -1), ESCAPE)


@probe("mremap(MREMAP_DONTUNMAP)")
def remap():
    return judge(*syscall(25, page(), 4096, 4096, 5, 0))


@probe("mremap(MREMAP_FIXED) over code")
def remap_fixed():
    return judge(*syscall(25, page(), 4096, 4096, 3, page()))


@probe("a file of its own, mapped writable and executable")
def file_rwx():
    fd = os.open(rw + "/code", os.O_RDWR | os.O_CREAT, 0o700)
    os.write(fd, b"\xc3" * 4096)
    return judge(*syscall(9, 0, 4096, 7, 2, fd, 0), ESCAPE)


@probe("a file of its own, shared and executable")
def file_shared_exec():
    fd = os.open(rw + "/code", os.O_RDWR | os.O_CREAT, 0o700)
    os.write(fd, b"\xc3" * 4096)
    return judge(*syscall(9, 0, 4096, 5, 1, fd, 0), ESCAPE)


@probe("subprocess")
def subprocess_run():
    import subprocess

    return (ESCAPE, "ran") if subprocess.run(["/bin/true"]).returncode == 0 else (HELD, "")


@probe("os.posix_spawn")
def spawn():
    return ESCAPE, str(os.posix_spawn("/bin/true", ["true"], {}))
