"""k01: the same kernel through another door: x32, 32-bit int 0x80, numbers out of range, the vsyscall page.

Expected: death by SIGSYS, EPERM or ENOSYS; getpid by another ABI must not answer."""

JIT = True  # writes its own instructions
X32 = 0x40000000
SYSCALL = bytes.fromhex("4889f8 4889f7 4889d6 4889ca 4d89c2 4d89c8 0f05 c3")
INT80 = bytes.fromhex("53 89f8 89f3 4989d0 4889ca 4c89c1 cd80 5b c3")
SYSENTER = bytes.fromhex("53 55 89f8 89f3 4989d0 4889ca 4c89c1 89e5 0f34 5d 5b c3")


def low_string(text):
    """The address of a C string below 4 GiB, where 32-bit calls can point."""
    address = libc.syscall(*[ctypes.c_long(n) for n in (9, 0x10000000, 4096, 3, 0x32, -1, 0)])
    assert address > 0
    ctypes.memmove(address, os.fsencode(text) + b"\0", len(os.fsencode(text)) + 1)
    return address


def by_int80(number, *arguments, goal=REACHED):
    return judge(*raw(machine_code(INT80)(number, *arguments, *[0] * (5 - len(arguments)))), goal)


table([
    ("x32 getpid", X32 | 39, ()),
    ("x32 openat of the secret", X32 | 257, (AT_FDCWD, secret, 0, 0), ESCAPE),
    ("x32 ptrace slot 521", X32 | 521, (0, 0, 0, 0)),
    ("x32 execve slot 520", X32 | 520, (BAD, 0, 0)),
    ("x32 rt_sigaction slot 512", X32 | 512, (10, 0, 0, 8)),
    ("x32 read slot", X32 | 0, (0, BAD, 1)),
    ("nr 512, an x32 number without its bit", 512, (0, 0, 0, 0)),
    ("nr 547, the last x32 number without its bit", 547, (0, 0, 0, 0)),
    ("nr 0xffffffff", 0xFFFFFFFF, ()),
    ("nr 0x7fffffff", 0x7FFFFFFF, ()),
    ("nr 0x80000027: getpid with the sign bit", 0x80000027, ()),
    ("nr 1024", 1024, ()),
    ("nr 4096", 4096, ()),
])
for number in range(472, 480):
    table([(f"nr {number}: newer than the table", number, (0, 0, 0, 0))])


@probe("rax 0x1_00000065 is ptrace, not a new number")
def high_half():
    return judge(*raw(machine_code(SYSCALL)(0x100000065, 0, 0, 0, 0, 0)))


@probe("rax 0x1_00000029 is socket")
def high_half_socket():
    return judge(*raw(machine_code(SYSCALL)(0x100000029, 2, 1, 0, 0, 0)), ESCAPE)


@probe("int 0x80 getpid")
def int80_getpid():
    return by_int80(20)


@probe("int 0x80 read(0)")
def int80_read():
    return by_int80(3, 0, BAD, 1)


@probe("int 0x80 write(1): 32-bit 4 is stat in the table")
def int80_write():
    return by_int80(4, 1, low_string("x"), 1)


@probe("int 0x80 mmap2")
def int80_mmap():
    return by_int80(192, 0, 4096, 7)


@probe("int 0x80 socketcall(socket, AF_INET)")
def int80_socket():
    return by_int80(102, 1, low_string("\x02\0\0\0\x01\0\0\0\0\0\0\0"), 0)


@probe("int 0x80 open of the secret")
def int80_open():
    result, error = raw(machine_code(INT80)(5, low_string(secret), 0, 0, 0, 0))
    return reads_secret(result, error)


@probe("int 0x80 execve")
def int80_execve():
    return by_int80(11, BAD, 0, 0)


@probe("int 0x80 ipc(SHMGET)")
def int80_ipc():
    return by_int80(117, 23, 0, 4096)


@probe("int 0x80 clone with bad flags")
def int80_clone():
    return by_int80(120, 0x10000, 0, 0)


@probe("int 0x80 exit_group: the end, by a door that is shut")
def int80_exit():
    return by_int80(252, 0x5A)


@probe("sysenter getpid")
def sysenter():
    return judge(*raw(machine_code(SYSENTER)(20, 0, 0, 0, 0, 0)))


@probe("vsyscall getcpu")
def vsyscall():
    cpu = ctypes.c_int(-1)
    call = ctypes.CFUNCTYPE(ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)(0xFFFFFFFFFF600800)
    result = call(ctypes.addressof(cpu), 0, 0)
    return judge(*raw(result))


@probe("far call into 32-bit code")
def far_call():
    # lcall to 0x23:here, which does int 0x80 getpid and returns: the architecture that the filter sees is still i386's.
    code = low_string("")
    ctypes.memmove(code + 16, bytes.fromhex("b814000000 cd80 cb"), 8)
    ctypes.memmove(code, (code + 16).to_bytes(4, "little") + b"\x23\0", 6)
    libc.syscall(*[ctypes.c_long(n) for n in (10, code, 4096, 7)])
    return judge(*raw(machine_code(bytes.fromhex("53 ff1f 5b c3"))(code, 0, 0, 0, 0, 0)))
