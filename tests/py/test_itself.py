"""What a program asks about itself, or does to itself without gain, has the answer that it has outside: the same lines run in a guest and
in a plain interpreter, as an ordinary user, and what they print is the same."""

import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

import pytest

from belljar import Policy, SandboxError, Template

core = pytest.mark.core
HERE = pathlib.Path(__file__).resolve().parent

PROLOGUE = """
import fcntl, mmap, os, resource, signal, sys, time
os.chdir(sys.argv[1] if len(sys.argv) > 1 else "/tmp")
uid, gid = os.getuid(), os.getgid()
open("f", "w").write("abc"); os.chmod("f", 0o644); fd = os.open("f", os.O_RDWR)
def libc(name, *args):
    import ctypes
    ctypes.set_errno(0)
    result = getattr(ctypes.CDLL(None, use_errno=True), name)(*(ctypes.c_void_p(a) if a > 2**31 else a for a in args))
    return result, ctypes.get_errno()
def limit_file():
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try: return os.write(fd, b"x" * 2000), os.write(fd, b"x")
    except OSError as error: return error.errno
    finally: resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
def lower(kind, value):
    was = resource.getrlimit(kind)
    resource.setrlimit(kind, (value, was[1]))
    return resource.getrlimit(kind)[0], resource.setrlimit(kind, was)
def waits():
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1]); os.kill(os.getpid(), signal.SIGUSR1)
    return signal.sigpending(), signal.sigwait([signal.SIGUSR1]), signal.sigtimedwait([signal.SIGUSR1], 0.02)
def pauses():
    hit = []
    signal.signal(signal.SIGALRM, lambda *_: hit.append(1)); signal.setitimer(signal.ITIMER_REAL, 0.1)
    left = signal.getitimer(signal.ITIMER_REAL)[0]; signal.pause()
    return hit, 0 < left <= 0.1
def vectors():
    file = os.open("v", os.O_RDWR | os.O_CREAT | os.O_TRUNC)
    a, b, c = bytearray(3), bytearray(5), bytearray(4)
    return (os.writev(file, [b"ab", b"cd", b""]), os.lseek(file, 0, 0), os.readv(file, [a, b]), os.pwritev(file, [b"X", b"Y"], 1),
            os.preadv(file, [c], 0), bytes(a + b + c), os.pwritev(file, [b"end"], 0, getattr(os, "RWF_APPEND", 0x10)), os.fstat(file).st_size)
def vectors_by_pipe():
    r, w = os.pipe()
    return os.writev(w, [b"a" * 3000, b"b"]), os.readv(r, [bytearray(3000), bytearray(10)])
def times():
    os.utime(fd, (5, 6)); first = os.stat("f"); os.utime(fd, ns=(7, 8))
    return first.st_atime, first.st_mtime, os.stat("f").st_mtime_ns, os.utime(fd)
def flags():
    r, w = os.pipe()
    fcntl.fcntl(r, fcntl.F_SETFL, fcntl.fcntl(r, fcntl.F_GETFL) | os.O_NONBLOCK)
    try: os.read(r, 1)
    except BlockingIOError: pass
    file = os.open("v", os.O_RDWR | os.O_CREAT | os.O_TRUNC); os.write(file, b"abc"); os.lseek(file, 0, 0)
    fcntl.fcntl(file, fcntl.F_SETFL, fcntl.fcntl(file, fcntl.F_GETFL) | os.O_APPEND); os.write(file, b"end")
    return open("v").read(), bool(fcntl.fcntl(file, fcntl.F_GETFL) & os.O_APPEND)
def folder(mode):
    name = "m%o" % mode
    os.mkdir(name, mode); said = [oct(os.stat(name).st_mode)]
    def go(what):
        try: said.append(what())
        except OSError as error: said.append(error.errno)
    go(lambda: open(name + "/x", "w").close()); go(lambda: os.mkdir(name + "/d")); go(lambda: os.listdir(name))
    os.chmod(name, 0o700); os.makedirs(name + "/e"); open(name + "/y", "w").write("1"); os.chmod(name, mode)
    for what in (lambda: oct(os.stat(name).st_mode), lambda: open(name + "/y").read(), lambda: os.stat(name + "/y").st_size,
                 lambda: os.rename(name + "/y", name + "/z"), lambda: os.rmdir(name + "/e"), lambda: os.remove(name + "/z"),
                 lambda: [os.access(name, right) for right in (0, 1, 2, 4, 7)], lambda: os.chdir(name) or os.chdir(".."),
                 lambda: os.open(name, os.O_RDONLY) > 0): go(what)
    return said
def file(mode):
    name = "f%o" % mode
    os.close(os.open(name, os.O_CREAT | os.O_WRONLY, mode)); said = [oct(os.stat(name).st_mode)]
    for what in (lambda: open(name).read(), lambda: open(name, "a").close(), lambda: [os.access(name, right) for right in (0, 1, 2, 4, 7)],
                 lambda: os.chmod(name, 0o640), lambda: oct(os.stat(name).st_mode), lambda: os.remove(name)):
        try: said.append(what())
        except OSError as error: said.append(error.errno)
    return said
def tool():
    import shutil
    open("tool", "w").close(); os.chmod("tool", 0o755)
    return shutil.which("tool", path=".")
def about(function):
    import inspect, pickle
    return (repr(function), function.__doc__, function.__module__, function.__qualname__, function.__self__, str(inspect.signature(function)),
            pickle.loads(pickle.dumps(function)) is function, function(function) == function(function) == object.__hash__(function) * 16)
def heard():
    seen = []
    first = id(seen)
    sys.addaudithook(lambda event, arguments: seen.append(arguments) if event == "builtins.id" else None)
    return first == id(seen), seen == [(first,)]
def mapped(*args):
    import ctypes
    memory = mmap.mmap(fd, 3)
    return libc("msync", ctypes.addressof(ctypes.c_char.from_buffer(memory)) + args[0], *args[1:])
"""

LINES = [
    # Identity.
    "os.chown('f', uid, gid)", "os.chown('f', -1, -1)", "os.lchown('f', uid, -1)", "os.chown('f', 0, 0)", "os.chown('none', uid, gid)",
    "os.fchown(fd, uid, gid)", "os.fchown(fd, 0, -1)", "os.fchown(99, uid, gid)", "os.chown('f', uid, -1, dir_fd=os.open('.', 0))",
    "os.chown('f', uid, -1, follow_symlinks=False)", "os.setuid(uid)", "os.setgid(gid)", "os.seteuid(uid)", "os.setegid(gid)",
    "os.setreuid(-1, uid)", "os.setregid(-1, -1)", "os.setresuid(uid, -1, uid)", "os.setresgid(gid, gid, gid)", "os.setuid(0)",
    "os.setresuid(-1, 0, -1)", "os.seteuid(0)",
    # Its limits.
    *(f"resource.setrlimit(resource.RLIMIT_{name}, resource.getrlimit(resource.RLIMIT_{name}))"
      for name in ("CORE", "STACK", "NOFILE", "AS", "FSIZE", "CPU", "DATA", "NPROC", "MEMLOCK")),
    "resource.setrlimit(resource.RLIMIT_CORE, (0, 0)) or resource.getrlimit(resource.RLIMIT_CORE)", "lower(resource.RLIMIT_STACK, 1 << 20)",
    "lower(resource.RLIMIT_NOFILE, 50)", "lower(resource.RLIMIT_CPU, 1000)", "limit_file()",
    "resource.setrlimit(resource.RLIMIT_CORE, (0, 1))", "resource.prlimit(os.getpid(), resource.RLIMIT_CORE)",
    "resource.setrlimit(resource.RLIMIT_AS, (5, 4))", "resource.prlimit(1, resource.RLIMIT_CORE, (0, 0))",
    # How it is scheduled.
    "os.nice(0)", "os.getpriority(os.PRIO_PROCESS, 0)", "os.getpriority(os.PRIO_PROCESS, os.getpid())", "os.nice(2)",
    "os.setpriority(os.PRIO_PROCESS, 0, 2)", "os.getpriority(os.PRIO_PROCESS, 0)", "os.setpriority(os.PRIO_PROCESS, 0, -5)",
    "os.sched_setaffinity(0, os.sched_getaffinity(0))", "os.sched_setaffinity(os.getpid(), os.sched_getaffinity(0))",
    "os.sched_setaffinity(0, {900})", "os.sched_getscheduler(0), os.sched_getparam(0).sched_priority", "os.sched_rr_get_interval(0) >= 0",
    "os.sched_get_priority_max(os.SCHED_FIFO), os.sched_get_priority_min(os.SCHED_RR)",
    # Signals.
    "signal.getitimer(signal.ITIMER_REAL)", "waits()", "pauses()", "signal.raise_signal(signal.SIGUSR1), signal.sigwaitinfo([signal.SIGUSR1]).si_signo",
    # Descriptors.
    "vectors()", "vectors_by_pipe()", "os.readv(99, [bytearray(1)])", "os.writev(99, [b'x'])", "times()", "os.utime(99, (1, 1))", "flags()",
    "fcntl.fcntl(99, fcntl.F_SETFL, 0)",
    # What has no effect, or is not to be seen: but there must be something that it is about.
    "os.fsync(fd)", "os.fsync(99)", "os.fdatasync(99)", "os.fsync(os.pipe()[0])", "os.fdatasync(os.open('.', 0))", "os.sync()",
    "os.fstatvfs(99)", "os.fstatvfs(fd).f_namemax", "os.posix_fadvise(fd, 0, 0, 3)", "os.posix_fadvise(99, 0, 0, 0)",
    "os.posix_fadvise(fd, 0, 0, 99)", "os.posix_fadvise(os.pipe()[0], 0, 0, 0)", "libc('readahead', 99, 0, 0)",
    "libc('readahead', os.pipe()[0], 0, 0)", "os.posix_fallocate(fd, 0, 9), os.fstat(fd).st_size", "os.posix_fallocate(99, 0, 9)",
    "mmap.mmap(fd, 3).flush()", "mapped(0, 3, 4)", "mapped(0, 3, 5)", "mapped(1, 1, 4)", "mapped(0, 3, 64)", "mapped(0, 3, 1)",
    "libc('msync', 1 << 40, 4096, 4)", "fcntl.flock(99, fcntl.LOCK_EX)", "fcntl.lockf(99, fcntl.LOCK_EX)", "os.fchdir(99)", "os.fchmod(99, 0o600)",
    # Modes.
    *(f"folder(0o{mode:o})" for mode in (0o755, 0o700, 0o555, 0o500, 0o444, 0o111, 0o222, 0)),
    *(f"file(0o{mode:o})" for mode in (0o644, 0o755, 0o444, 0o111, 0o200, 0)), "tool()",
    "os.umask(0o077), os.mkdir('um'), oct(os.stat('um').st_mode)",
    # A function that is an event, which nobody hears until the program has a hook.
    "about(id)", "heard()", "about(id)",
]  # fmt: skip

PROGRAM = (
    PROLOGUE
    + """
for line in LINES:
    try:
        said = eval(line)
    except Exception as error:
        said = type(error).__name__, getattr(error, "errno", None)
    print(line, "->", said)
""".replace(
        "LINES", repr(LINES)
    )
)


@pytest.fixture(scope="module")
def outside():
    """What the lines print in a plain interpreter of a user who is not root. On tmpfs, where the guest's files lie, too."""
    place = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    folder = tempfile.mkdtemp(prefix="belljar-itself-", dir=place)
    os.chmod(folder, 0o777)
    user = {"user": 65534, "group": 65534, "extra_groups": []} if os.geteuid() == 0 else {}
    try:
        done = subprocess.run(["/usr/bin/python3", "-c", PROGRAM, folder], capture_output=True, text=True, cwd="/", **user)
    except PermissionError:
        pytest.skip("root without the capability to be another user: there is nobody to compare with")
    for path, _, _ in os.walk(folder):
        os.chmod(path, 0o700)
    shutil.rmtree(folder, ignore_errors=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def differences(inside, outside):
    assert len(inside) == len(outside) == len(LINES)
    # In a container process 1 may be the same user's: then who is outside may.
    left_out = "resource.prlimit(1," if os.stat("/proc/1").st_uid == (os.geteuid() or 65534) else "-"
    return [
        (mine, theirs) for mine, theirs in zip(inside, outside, strict=True) if mine != theirs and not mine.startswith(left_out)
    ]


@core
def test_every_line_says_inside_what_it_says_outside(outside):
    with Template(Policy(timeout=30), python="/usr/bin/python3") as template:
        ex = template.run(PROGRAM)
    assert ex.error is None
    assert differences(ex.stdout.splitlines(), outside) == []
    assert {v.rule for v in ex.violations} == {"identity", "limits", "processes"}  # to become root, to be faster, process 1


def test_so_it_does_without_namespaces(outside):
    code = f"import belljar; print(belljar.run({PROGRAM!r}, python='/usr/bin/python3').stdout, end='')"
    done = subprocess.run(
        [sys.executable, HERE / "without_namespaces.py", sys.executable, "-c", code], capture_output=True, text=True
    )
    assert differences(done.stdout.splitlines(), outside) == [], done.stderr


@core
def test_what_a_granted_folder_holds_is_flushed_for_good():
    place = "/var/tmp" if os.access("/var/tmp", os.W_OK) else None
    folder = tempfile.mkdtemp(prefix="belljar-itself-", dir=place)
    os.chmod(folder, 0o777)
    with Template(Policy(write=[folder])) as template:
        ex = template.run(f"import os, mmap\nf = open('{folder}/x', 'wb+'); f.write(b'abc'); f.flush(); os.fsync(f.fileno()); os.fdatasync(f.fileno())\n"
                          f"mmap.mmap(f.fileno(), 3).flush(); os.utime(f.fileno(), (1, 2)); os.chown(f.name, -1, os.getgid())\n"
                          f"print(os.stat(f.name).st_mtime)\nos.open(f.name, os.O_RDWR | os.O_SYNC)\ntry: os.fsync(99)\nexcept OSError as e: print(e.errno)")  # fmt: skip
        assert (ex.stdout, ex.error, ex.violations) == ("2.0\n9\n", None, [])
    shutil.rmtree(folder)


@core
def test_what_is_not_granted_for_writing_keeps_its_times_and_owner(tmp_path):
    tmp_path.chmod(0o755)
    (tmp_path / "x").write_text("1")
    (tmp_path / "x").chmod(0o666)
    before = (tmp_path / "x").stat().st_mtime_ns
    with Template(Policy(read=[tmp_path])) as template:
        ex = template.run(f"import os\nf = os.open('{tmp_path}/x', os.O_RDONLY)\nfor go in (lambda: os.utime(f, (1, 2)), lambda: os.utime('{tmp_path}/x'),\n"
                          f"           lambda: os.chown('{tmp_path}/x', -1, -1)):\n  try: go(); print('done')\n  except OSError as e: print(e.errno)")  # fmt: skip
    assert ex.stdout == "1\n13\n13\n" and (tmp_path / "x").stat().st_mtime_ns == before


@core
def test_folders_that_the_guest_has_closed_are_no_error_of_the_hosts():
    ex = None
    code = "import os\nfor m in (0, 0o444, 0o111):\n  os.makedirs(f'd{m}/deep'); open(f'd{m}/f', 'w').write('x'); os.chmod(f'd{m}', m)\nopen('ok', 'w').write('1')"
    with Template() as template:
        ex = template.run(code)
        assert (ex.verdict, ex.files["ok"]) == ("ok", b"1") and "ok" in list(ex.files)
        with template.sandbox() as sandbox:
            assert "ok" in list(sandbox.run_code(code).files) and "ok" in sandbox.files.list()


@core
@pytest.mark.parametrize(
    ("number", "said", "probes"), [("0", "0", 0), ("os.getpid()", "0", 0), ("threading.get_native_id()", "1", 1)]
)
def test_a_question_about_another_threads_schedule_is_not_answered_and_no_refusal(number, said, probes):
    """Libraries ask, by way of libc, as they start threads: its own schedule it may know."""
    code = f"""import os, threading
def ask():
    try:
        print(os.sched_getscheduler({number}))
    except PermissionError as error:
        print(error.errno)
thread = threading.Thread(target=ask); thread.start(); thread.join()"""
    with Template() as template:
        ex = template.run(code)
    assert (ex.stdout, ex.violations, ex.verdict) == (f"{said}\n", [], "ok") and ex.probes >= probes


@core
def test_a_branch_has_its_own_number_where_it_looks():
    seen = "import os; print(open(f'/proc/{os.getpid()}/stat').read().split()[0] == str(os.getpid()), os.path.exists(f'/proc/{first}/stat'))"
    with Template() as template, template.sandbox() as sandbox:
        sandbox.run_code("import os; first = os.getpid()")
        assert sandbox.run_code(seen).stdout == "True True\n"
        try:
            twin = sandbox.fork()
        except SandboxError as error:
            assert "user namespaces" in str(error)
            pytest.skip("a session is forked only where there are user namespaces")
        with twin:
            assert twin.run_code(seen).stdout == "True False\n"


@core
def test_a_hook_of_the_warm_text_hears_of_everything():
    hook = "sys.addaudithook(lambda event, arguments, heard=heard: event == 'builtins.id' and heard.append(event))"
    with Template(warm=f"import sys\nsys.modules['heard'] = heard = []\n{hook}") as template:
        ex = template.run("import sys; heard = sys.modules['heard']; del heard[:]; id(1); heard")
        assert ex.value == ["builtins.id"]
