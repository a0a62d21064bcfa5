"""Calls of a program on itself that change nothing for anybody else: they are answered as by a kernel, and others are refused."""

import platform

import pytest

import belljar
import looking

pytestmark = pytest.mark.core
LIBC = tuple(int(part) for part in platform.libc_ver()[1].split(".")[:2] if part.isdigit())

BEGIN = """
import fcntl, os, resource, signal, time
open('a', 'w').write('abc'); fd = os.open('a', os.O_RDWR); u, g = os.getuid(), os.getgid(); pipe = os.pipe()
def filled(call, *sizes):
    buffers = [bytearray(size) for size in sizes]
    call(buffers)
    return b''.join(buffers)
def flag(descriptor, value):
    fcntl.fcntl(descriptor, fcntl.F_SETFL, fcntl.fcntl(descriptor, fcntl.F_GETFL) | value)
    return bool(fcntl.fcntl(descriptor, fcntl.F_GETFL) & value)
heard = []
def fails(call, *arguments):
    try: call(*arguments)
    except (OSError, ValueError) as error: return type(error).__name__
def sent(call):
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
    os.kill(os.getpid(), signal.SIGUSR1)
    return call([signal.SIGUSR1])
def limit(name, half=False):
    number = getattr(resource, 'RLIMIT_' + name)
    soft, hard = resource.getrlimit(number)
    wanted = (soft // 2, hard) if half else (soft, hard)
    resource.setrlimit(number, wanted)
    return resource.getrlimit(number) == wanted
def mode_of(path, mode):
    os.chmod(path, mode)
    access = ''.join(letter for letter, bit in (('r', os.R_OK), ('w', os.W_OK), ('x', os.X_OK)) if os.access(path, bit))
    return os.stat(path).st_mode & 0o777 == mode, access, fails(open, path), fails(open, path, 'r+')
"""

# expression -> value
ROWS = [
    ("os.chown('a', u, g), os.chown('a', -1, -1), os.lchown('a', u, g), os.fchown(fd, u, g)", (None,) * 4),
    ("fails(os.chown, 'a', 0, 0), fails(os.fchown, fd, 0, 0)", ("PermissionError",) * 2),
    ("os.setuid(u), os.seteuid(u), os.setgid(g), os.setegid(g), os.setreuid(u, -1), os.setresuid(u, u, u), os.setresgid(g, -1, g)", (None,) * 7),
    ("fails(os.setuid, 0), fails(os.setgid, 0), fails(os.setresuid, 0, 0, 0)", ("PermissionError",) * 3),
    ("[limit(name) for name in 'STACK CORE NOFILE AS CPU DATA FSIZE NPROC MEMLOCK RSS'.split()]", [True] * 10),
    ("[limit(name, half=True) for name in ('STACK', 'NOFILE', 'CORE')]", [True] * 3),
    ("resource.setrlimit(resource.RLIMIT_CORE, (0, 0)), resource.prlimit(0, resource.RLIMIT_CORE)", (None, (0, 0))),
    ("fails(resource.setrlimit, resource.RLIMIT_NOFILE, (10**6, 10**6)), fails(resource.setrlimit, resource.RLIMIT_STACK, (-1, -1))",
     ("ValueError",) * 2),
    ("os.nice(0), os.getpriority(os.PRIO_PROCESS, 0), os.setpriority(os.PRIO_PROCESS, 0, 0), os.nice(1)", (0, 0, None, 1)),
    ("os.getpriority(os.PRIO_PGRP, 0), os.nice(3), os.getpriority(os.PRIO_PGRP, os.getpgrp())", (0, 3, 3)),
    ("fails(os.getpriority, os.PRIO_PGRP, 1), fails(os.getpriority, os.PRIO_USER, 0), fails(os.setpriority, os.PRIO_USER, 0, 0)",
     ("PermissionError",) * 3),
    ("os.kill(0, 0), os.killpg(0, 0), os.killpg(os.getpgrp(), 0), fails(os.killpg, os.getpgrp(), 999)", (None, None, None, "OSError")),
    ("(signal.signal(10, lambda *_: heard.append(1)), None)[1], os.killpg(os.getpgrp(), 10), fails(os.kill, os.getppid(), 10), heard",
     (None, None, "PermissionError", [1])),
    ("fails(os.killpg, 7, 0), fails(os.kill, -1, 0), fails(os.kill, 1, 0)", ("PermissionError",) * 3),
    ("os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0)), os.sched_setparam(os.getpid(), os.sched_param(0))", (None, None)),
    ("fails(os.sched_setscheduler, 0, os.SCHED_BATCH, os.sched_param(0)), fails(os.sched_setparam, 0, os.sched_param(1))",
     ("PermissionError", "OSError")),
    ("fails(os.nice, -1), fails(os.getpriority, os.PRIO_PROCESS, 1)", ("PermissionError",) * 2),
    ("len(os.getrandom(8, os.GRND_RANDOM)), len(os.getrandom(8, os.GRND_RANDOM | os.GRND_NONBLOCK)), fails(os.getrandom, 8, 8)",
     (8, 8, "PermissionError")),
    ("signal.getitimer(signal.ITIMER_REAL), signal.setitimer(signal.ITIMER_REAL, 0)", ((0, 0), (0, 0))),
    ("int(sent(signal.sigwait)), sent(signal.sigwaitinfo).si_signo, sent(lambda s: signal.sigtimedwait(s, 5)).si_signo", (10, 10, 10)),
    ("signal.sigtimedwait([signal.SIGUSR1], 0.001), sent(lambda _: signal.sigpending()) == {signal.SIGUSR1}", (None, True)),
    ("os.sched_setaffinity(0, os.sched_getaffinity(0)), os.sched_getscheduler(0), os.sched_getparam(0).sched_priority", (None, 0, 0)),
    ("os.writev(fd, [b'12', b'345']), os.pread(fd, 9, 0), os.pwritev(fd, [b'x', b'y'], 1), os.pread(fd, 9, 0)", (5, b"12345", 2, b"1xy45")),
    ("filled(lambda b: os.readv(fd, b), 1, 1), filled(lambda b: os.preadv(fd, b, 0), 2, 1), fails(os.readv, 999, [bytearray(1)])",
     (b"ab", b"abc", "OSError")),
    ("os.utime(fd, (1, 2)), os.stat('a').st_mtime, os.utime('a', (3, 4)), os.fstat(fd).st_mtime, os.utime(fd)", (None, 2.0, None, 4.0, None)),
    ("flag(pipe[0], os.O_NONBLOCK), flag(fd, os.O_APPEND), fails(flag, fd, os.O_ASYNC)", (True, True, "PermissionError")),
    ("fcntl.fcntl(pipe[0], fcntl.F_GETPIPE_SZ) >= 4096, fails(fcntl.fcntl, pipe[0], fcntl.F_SETPIPE_SZ, 1 << 20)", (True, "PermissionError")),
    ("[mode_of('a', mode) for mode in (0o600, 0o755, 0o400, 0o200, 0)]",
     [(True, "rw", None, None), (True, "rwx", None, None), (True, "r", None, "PermissionError"), (True, "w", "PermissionError", "PermissionError"),
      (True, "", "PermissionError", "PermissionError")]),
    ("os.mkdir('d', 0o555), os.stat('d').st_mode & 0o777, fails(open, 'd/x', 'w'), os.chmod('d', 0o755), open('d/x', 'w').close()",
     (None, 0o555, "PermissionError", None, None)),
    ("[os.stat(p).st_uid == u for p in ('a', '/tmp', '/work', os.path.expanduser('~'))]",
     [True] * 4),
    ("[os.stat(p).st_uid for p in ('/', '/etc', '/etc/passwd', '/usr', os.__file__)]", [0] * 5),
    ("[name in open('/proc/meminfo').read() for name in ('MemTotal:', '\\nActive:', '\\nInactive:')], open('/proc/vmstat').read()",
     ([True] * 3, "pswpin 0\npswpout 0\n")),
    ("oct(os.stat('/etc').st_mode), oct(os.stat('/etc/passwd').st_mode), os.access('/etc', os.W_OK)", ("0o40555", "0o100444", False)),
    ("__import__('pwd').getpwuid(u).pw_name, __import__('grp').getgrgid(g).gr_name, os.getresuid() == (u, u, u)", ("user", "user", True)),
]  # fmt: skip


@pytest.fixture(scope="module")
def template():
    with belljar.Template(belljar.Policy()) as made:
        yield made


@pytest.mark.parametrize(("code", "expected"), ROWS)
def test_a_call_of_a_program_on_itself(template, code, expected):
    if "os.__file__" in code and looking.is_powerless_root():
        pytest.skip("this root has no capabilities, and its guests are root to the kernel: files of root's are their own")
    ex = template.run(BEGIN + code)
    assert ex.ok, ex.error
    assert ex.value == expected


def test_a_pause_waits_for_a_signal(template):
    code = "signal.signal(signal.SIGALRM, lambda *_: print('rang')); signal.setitimer(signal.ITIMER_REAL, 0.02); signal.pause(); print('on')"
    assert template.run(BEGIN + code).stdout == "rang\non\n"


@pytest.mark.skipif(
    not (2, 33) <= LIBC <= (2, 38), reason="this libc's fstat is the kernel's own, which says whom it takes the guest for"
)
def test_a_descriptor_is_owned_by_whom_its_path_is(template):
    if looking.is_powerless_root():
        pytest.skip("this root has no capabilities, and its guests are root to the kernel: files of root's are their own")
    ex = template.run(
        BEGIN + "[os.fstat(n).st_uid for n in (fd, 0, os.open(os.__file__, 0))] == [u, u, 0], os.stat('/dev/stdin').st_uid == u"
    )
    assert ex.value == (True, True), ex.error


def test_a_guest_knows_its_own_number():
    """asyncio of CPython 3.11 asks for it at every turn, and a question is a call that the supervisor answers."""
    with belljar.Sandbox() as session:
        session.run_code(
            "import asyncio\nasync def turns(n):\n    for _ in range(n): await asyncio.sleep(0.00001)\nasyncio.run(turns(3))\n"
        )
        few = session.run_code("asyncio.run(turns(3))").usage.served
        assert session.run_code("asyncio.run(turns(500))").usage.served < few + 100
        session.run_code("import os, ctypes; numbers = [os.getpid(), ctypes.CDLL(None).getpid(), os.getpgrp()]")
        assert len(set(session["numbers"])) == 1


def test_a_branch_knows_its_own_number():
    with belljar.Sandbox() as session:
        session.run_code(
            """
import os, ctypes
os.register_at_fork(after_in_child=lambda: numbers.append(os.getpid()))
numbers = [os.getpid()]
"""
        )
        try:
            branch = session.fork()
        except belljar.SandboxError as error:
            assert "user namespaces" in str(error)
            pytest.skip("a session is forked only where there are user namespaces")
        with branch:
            branch.run_code("numbers += [os.getpid(), ctypes.CDLL(None).getpid(), os.getpgrp()]")
            mine, *theirs = branch["numbers"]
        assert session["numbers"] == [mine]
        assert len(theirs) == 4 and len(set(theirs)) == 1 and theirs[0] != mine, theirs


STORM = """
import pathlib, pwd, socket
ticks = []
signal.signal(signal.SIGALRM, lambda *_: ticks.append(1))
os.mkdir('d'); os.symlink('a', 'l')
def made(path): return os.mkdir(path), os.rmdir(path)
def moved(): return os.rename('a', 'b'), os.rename('b', 'a')
def linked(): return os.symlink('a', 'n'), os.link('a', 'm'), os.unlink('n'), os.unlink('m')
def closed(pair): return [os.close(number) for number in pair]
def looked():
    signal.setitimer(signal.ITIMER_REAL, 0.0003, 0.0003)
    while len(ticks) < 100:
        try:
            found = {}
            if found != expected: return found, len(ticks)
        except OSError as error:
            return repr(error), len(ticks)
    signal.setitimer(signal.ITIMER_REAL, 0)
    return found
"""
NEVER_WAIT = [
    "os.path.exists('a'), os.path.exists('none'), os.access('a', os.R_OK), os.path.isdir('d')",
    "os.stat('a').st_size, os.lstat('l').st_size, os.stat(fd).st_size, os.readlink('l'), os.path.realpath('l')",
    "sorted(os.listdir('.')), sorted(e.name for e in os.scandir('.')), [p.name for p in pathlib.Path('d').iterdir()]",
    "made('e'), moved(), linked(), os.truncate('a', 3), os.chmod('a', 0o644), os.utime('a', (1, 1)), os.umask(0o22)",
    "os.getcwd(), os.chdir('.'), os.statvfs('.').f_bsize, open('a').read(), pwd.getpwuid(u).pw_name",
    "os.kill(os.getpid(), 0), os.getuid(), os.getgid(), os.getppid(), os.getpgrp(), os.getresuid(), os.uname().nodename",
    "os.sched_getaffinity(0), os.sched_getscheduler(0), signal.getitimer(signal.ITIMER_VIRTUAL), signal.sigpending(), os.times()[2:4]",
    "closed(os.pipe()), [s.close() for s in socket.socketpair()], os.getpriority(os.PRIO_PROCESS, 0), resource.getrlimit(resource.RLIMIT_CORE)",
]


@pytest.mark.parametrize("code", NEVER_WAIT)
def test_a_signal_cuts_off_no_call_that_never_waits(template, code):
    """Here it waits for the supervisor. With the signals that come meanwhile it has the same answer as without."""
    ex = template.run(BEGIN + STORM.replace("{}", f"({code})") + f"expected = ({code})\nseen = looked(); seen == expected or seen")
    assert ex.ok and ex.value is True, ex


@pytest.mark.parametrize(
    "waits", ["time.sleep(60)", "os.read(pipe[0], 1)", "signal.pause()", "lock.acquire()", "select.select([pipe[0]], [], [])"]
)
def test_a_signal_cuts_off_what_waits(template, waits):
    code = (
        "import select, threading\nlock = threading.Lock(); lock.acquire()\ndef stop(*_): raise InterruptedError\n"
        "kept = [signal.signal(signal.SIGALRM, stop) is signal.SIG_DFL, signal.getsignal(signal.SIGALRM) is stop]\n"
        f"signal.setitimer(signal.ITIMER_REAL, 0.02); kept.append(fails(lambda: {waits})); signal.signal(signal.SIGALRM, signal.SIG_IGN) is stop, kept"
    )
    assert template.run(BEGIN + code).value == (True, [True, True, "InterruptedError"])
