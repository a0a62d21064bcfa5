"""What runs inside the interpreter: the way into the lockdown, the runner, the words of refusals. On every Python that
BELLJAR_PYTHONS names (paths with : between) beside Debian's."""

import glob
import os
import signal
import subprocess
import sys
import time

import pytest

from belljar import Policy, Sandbox, SandboxError, Template

core = pytest.mark.core
PYTHONS = ["/usr/bin/python3", *(path for path in os.environ.get("BELLJAR_PYTHONS", "").split(":") if path)]


@pytest.fixture(scope="module", params=PYTHONS)
def template(request):
    policy = Policy(timeout=20, threads=4, memory="400M")
    with Template(policy, preload=["random", "uuid", "threading"], python=request.param) as template:
        yield template


def lines(execution):
    assert execution.verdict == "ok", (execution.stderr, execution.error and execution.error.traceback)
    return execution.stdout.splitlines()


# ---- The way in --------------------------------------------------------------------------------------------------

# fstat works without a path and without the broker: whatever is open shows itself.
OPEN_DESCRIPTORS = """
import os
for number in range(300):
    try:
        os.fstat(number)
    except OSError:
        continue
    print(number)
"""


@core
def test_five_descriptors_are_open_and_no_other(template):
    assert lines(template.run(OPEN_DESCRIPTORS)) == ["0", "1", "2", "3", "4"]


@core
def test_libc_knows_its_threads_number(template):
    # it keeps it in memory, where the fork has to put the guest's own; the clock's name is made from it
    code = """
import threading, time
clock = time.pthread_getcpuclockid(threading.get_ident())
print(~(clock >> 3) == threading.get_native_id() == threading.main_thread().native_id)
"""
    assert lines(template.run(code)) == ["True"]


@core
def test_abort_ends_it_by_sigabrt(template):
    execution = template.run("import os; os.abort()")
    assert (execution.verdict, execution.exit) == ("crashed", 128 + signal.SIGABRT)


@core
def test_the_environment_holds_nothing_of_the_callers(template, monkeypatch):
    monkeypatch.setenv("SECRET_TOKEN", "sesame")
    with Template(Policy(), python=PYTHONS[0]) as fresh:
        assert lines(fresh.run("import os; print('SECRET_TOKEN' in os.environ, os.environ['HOME'])")) == ["False /home/user"]


@core
def test_fstat_is_native(template):
    # glibc 2.33 to 2.38 asks newfstatat for it, which is trapped; 2,000 brokered calls would show in `served`
    execution = template.run("import os\nfor _ in range(2000): os.fstat(1)")
    assert execution.verdict == "ok"
    assert execution.usage.served < 500


@core
def test_a_path_beside_the_empty_path_flag_is_still_the_brokers(template):
    code = """
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
buffer = ctypes.create_string_buffer(256)
AT_FDCWD, AT_EMPTY_PATH = -100, 0x1000
print(libc.syscall(262, AT_FDCWD, b"/root/.bashrc", buffer, AT_EMPTY_PATH), ctypes.get_errno() in (1, 2, 13))
print(libc.syscall(262, 1, b"", buffer, AT_EMPTY_PATH))
"""
    assert lines(template.run(code)) == ["-1 True", "0"]


@core
def test_shared_anonymous_memory_counts_as_memory(template):
    assert lines(template.run("import mmap; m = mmap.mmap(-1, 8192); m[5000] = 7; print(m[5000])")) == ["7"]
    assert template.run("import mmap; m = [mmap.mmap(-1, 64 << 20) for _ in range(20)]").verdict in ("error", "memory")


# ---- A program as plain Python runs it -----------------------------------------------------------------------------


@core
def test_no_frame_of_belljars_is_in_a_traceback(template):
    code = "def f():\n    g()\ndef g():\n    1 / 0\nf()"
    text = template.run(code).error.traceback
    assert "belljar" not in text
    assert [line.strip() for line in text.splitlines() if line.startswith("    ") and "^" not in line] == ["f()", "g()", "1 / 0"]


@core
def test_the_programs_own_traceback_shows_its_lines(template):
    code = "import traceback\ntry:\n    int('x')\nexcept ValueError:\n    traceback.print_exc()"
    assert "    int('x')\n" in template.run(code).stderr


@core
def test_a_lean_start_shows_lines_as_well():
    # without preload and warm-up, half of the runner and the module traceback come when they are needed
    with Template(Policy(), python=PYTHONS[0], parked=1) as template:
        assert "    1/0\n" in template.run("x = 2\n1/0").error.traceback


@core
@pytest.mark.parametrize(
    "code, text",
    [
        ("1 + 1", "2"),
        ("x = 3\nx * 2", "6"),
        ("None", None),
        ("x = 3", None),
        ("x = 3; x", "3"),
        ("'''a\nb'''", "'a\\nb'"),
        ("if True:\n    5", None),
        ("class A:\n    def __repr__(self): return 5\nA()", "<unprintable A object>"),
        ("class A:\n    def __repr__(self): 1/0\nA()", "<unprintable A object>"),
        ("'\\ud800'", "'\\ud800'"),
        ("class A:\n    def __repr__(self): return '\\ud800'\nA()", "\\ud800"),
        ("# nothing", None),
        ("x = []\nx.append(x)\nx", "[[...]]"),
    ],
)
def test_the_last_expression_is_the_result(template, code, text):
    execution = template.run(code)
    assert (execution.verdict, execution.text) == ("ok", text)


@core
def test_indented_code_is_taken_and_what_does_not_line_up_is_an_error_as_anywhere(template):
    assert template.run(" 1 + 1").value == 2
    assert template.run("x = 1\n  1 + 1").error.name == "IndentationError"


@core
def test_exit_handlers_and_threads_come_to_their_end(template):
    code = """
import atexit, threading, time
atexit.register(print, "exit handler")
threading.Thread(target=lambda: (time.sleep(0.1), print("thread"))).start()
print("main")
"""
    assert lines(template.run(code)) == ["main", "thread", "exit handler"]


@core
def test_a_hostile_exception_is_described_all_the_same(template):
    code = """
class Bad(Exception):
    def __str__(self): raise SystemExit("no")
    reason = property(lambda self: 1 / 0)
raise Bad
"""
    execution = template.run(code)
    assert (execution.verdict, execution.error.name) == ("error", "Bad")


@core
@pytest.mark.parametrize("what", ["isinstance", "str", "len", "print", "repr", "type", "BaseException", "setattr"])
def test_a_program_that_ruins_the_builtins_ruins_its_own_only(template, what):
    execution = template.run(f"import builtins\nbuiltins.{what} = None\n1/0")
    assert (execution.verdict, execution.error.name) == ("error", "ZeroDivisionError")


@core
def test_a_long_traceback_is_cut(template):
    code = "def f(n):\n    return g(n + 1)\ndef g(n):\n    x = 'long' " + "# " + "x" * 2000 + "\n    return f(n)\nf(0)"
    execution = template.run("import sys; sys.tracebacklimit = 5000\n" + code.replace("x = 'long'", "if n: pass;"))
    assert execution.verdict == "error"
    assert len(execution.error.traceback) <= 70_000


@core
def test_memory_that_is_used_up_is_said_with_its_line(template):
    execution = template.run("kept = []\nwhile True:\n    kept.append(object())")
    assert execution.verdict == "memory"
    assert execution.error.name == "MemoryError"
    assert "kept.append" in execution.error.traceback


@core
def test_recursion_is_an_error_of_the_programs(template):
    execution = template.run("def f(): return f()\nf()")
    assert (execution.verdict, execution.error.name) == ("error", "RecursionError")
    assert "repeated" in execution.error.traceback


@core
def test_an_excepthook_of_the_programs_is_called(template):
    code = "import sys\nsys.excepthook = lambda kind, error, traceback: print('hook:', kind.__name__, file=sys.stderr)\n1/0"
    path_like = subprocess.run(
        [os.environ.get("BELLJAR_BUILD", "build") + "/belljar", "run", "-c", code], capture_output=True, text=True, timeout=60
    )
    assert path_like.stderr.startswith("hook: ZeroDivisionError\n")
    assert path_like.returncode == 1


# ---- Signals -----------------------------------------------------------------------------------------------------------


@core
def test_a_caller_that_ignores_signals_has_ordinary_guests():
    code = """
import belljar
print(belljar.run("import signal; signal.getsignal(signal.SIGINT).__name__, signal.getsignal(signal.SIGHUP) == 0").text)
"""
    ignoring = "import signal, sys; signal.signal(signal.SIGINT, signal.SIG_IGN); signal.signal(signal.SIGHUP, signal.SIG_IGN)"
    done = subprocess.run([sys.executable, "-c", ignoring + code], capture_output=True, text=True, timeout=60)
    assert done.stdout == "('default_int_handler', True)\n", done.stderr


@core
def test_an_interrupt_between_two_runs_interrupts_neither(template):
    with Sandbox(template=template) as sandbox:
        for _ in range(3):
            sandbox.interrupt()
        time.sleep(0.2)  # one that is still on its way would rightly interrupt the run
        assert sandbox.run_code("x = 1; x").text == "1"
        for _ in range(3):
            sandbox.interrupt()
        time.sleep(0.2)
        assert sandbox.run_code("x + 1").text == "2"


@core
def test_handlers_and_timers_work_inside(template):
    code = """
import os, signal, time
signal.signal(signal.SIGUSR1, lambda number, frame: print("signal", number))
os.kill(os.getpid(), signal.SIGUSR1)
signal.signal(signal.SIGALRM, lambda number, frame: print("timer"))
signal.setitimer(signal.ITIMER_REAL, 0.02)
time.sleep(0.2)
"""
    assert lines(template.run(code)) == [f"signal {int(signal.SIGUSR1)}", "timer"]


# ---- What a fork would share ---------------------------------------------------------------------------------------------

SHARED = [
    "import random; print(random.random())",
    "import uuid; print(uuid.uuid4())",
    "import uuid; print(uuid.uuid1())",
    "import os; print(os.urandom(8))",
    "import tempfile; print(tempfile.mktemp())",
    "import secrets; print(secrets.token_hex())",
]


@core
@pytest.mark.parametrize("code", SHARED)
def test_two_guests_draw_different_numbers(template, code):
    first, second = template.run(code), template.run(code)
    assert lines(first) != lines(second)


@pytest.fixture(scope="module")
def numpy_template():
    if subprocess.run([PYTHONS[0], "-I", "-c", "import numpy"], capture_output=True).returncode != 0:
        pytest.skip("numpy is not installed for " + PYTHONS[0])
    with Template(Policy(timeout=20), preload=["numpy"], python=PYTHONS[0]) as template:
        yield template


def test_two_guests_draw_different_numbers_from_numpy(numpy_template):
    code = "import numpy; print(numpy.random.rand())"
    assert lines(numpy_template.run(code)) != lines(numpy_template.run(code))


def test_numpy_computes_and_prints(numpy_template):
    code = "import numpy\nprint((numpy.eye(3) @ numpy.arange(9).reshape(3, 3)).sum())"
    assert lines(numpy_template.run(code)) == ["36.0"]


# ---- Words of refusals ------------------------------------------------------------------------------------------------

# code, rule, a part of the message, the system call on record
REFUSALS = [
    ("open('/etc/shadow')", "read", "--read /etc/shadow", "openat"),
    ("open('/etc/x', 'w')", "write", "--write /etc/x", "openat"),
    ("import os; os.open('/etc/x', os.O_RDWR | os.O_CREAT | os.O_EXCL)", "write", "'/etc/x'", "openat"),
    ("import os; os.listdir('/boot')", "read", "'/boot'", "openat"),
    ("import os; os.mkdir('/etc/x')", "write", "belljar: mkdir()", "mkdir"),
    ("import os; os.rename('/etc/passwd', '/tmp/x')", "write", "belljar: rename()", "rename"),
    ("import os; os.system('ls')", "processes", "'ls'", "execve"),
    ("import subprocess; subprocess.run(['ls', '-l'])", "processes", "subprocess.Popen()", "execve"),
    ("import os; os.popen('ls')", "processes", "use threads", "execve"),
    ("import os; os.execv('/bin/ls', ['ls'])", "processes", "'/bin/ls'", "execve"),
    ("import os; os.posix_spawn('/bin/ls', ['ls'], {})", "processes", "os.posix_spawn()", "execve"),
    ("import os; os.fork()", "processes", "starting a process", "clone"),
    ("import multiprocessing as m; m.Process(target=print).start()", "processes", "starting a process", "clone"),
    ("import os; os.kill(1, 9)", "processes", "process 1", "kill"),
    ("import socket; socket.socket()", "network", "socket()", "socket"),
    ("import socket; socket.create_connection(('example.com', 80))", "network", "'example.com'", "connect"),
    ("import urllib.request; urllib.request.urlopen('http://example.com')", "network", "getaddrinfo", "connect"),
]


@core
@pytest.mark.parametrize("code, rule, words, call", REFUSALS, ids=[row[0][:60] for row in REFUSALS])
def test_a_refusal_names_operation_object_rule_and_remedy(template, code, rule, words, call):
    execution = template.run(code)
    assert execution.verdict == "violation"
    assert "belljar: " in execution.error.value and f"(rule: {rule}; remedy: " in execution.error.value
    assert words in execution.error.value
    assert call in [violation.op for violation in execution.violations]
    assert rule in [violation.rule for violation in execution.violations]


@core
def test_what_is_granted_is_not_refused(template):
    code = """
import os, shutil, socket, tempfile, threading
os.mkdir("folder")
open("folder/a", "w").write("x")
shutil.copy2("folder/a", "folder/b")
os.rename("folder/b", "/tmp/b")
os.chmod("/tmp/b", 0o600)
os.truncate("/tmp/b", 0)
print(sorted(os.listdir("/work/folder")), os.stat("/tmp/b").st_size)
with tempfile.TemporaryFile() as file:
    file.write(b"y")
one, other = socket.socketpair()
one.send(b"z")
print(other.recv(1))
thread = threading.Thread(target=print, args=("thread",))
thread.start()
thread.join()
os.kill(os.getpid(), 0)
shutil.rmtree("folder")
"""
    execution = template.run(code)
    assert lines(execution) == ["['a'] 0", "b'z'", "thread"]
    assert execution.violations == []


@core
def test_a_refusal_that_was_handled_is_no_verdict(template):
    execution = template.run("try:\n    open('/etc/shadow')\nexcept PermissionError as error:\n    print(error.filename)")
    assert lines(execution) == ["/etc/shadow"]
    assert len(execution.violations) == 1


@core
def test_a_thread_over_the_limit_is_an_exception(template):
    code = "import threading, time\nfor _ in range(9): threading.Thread(target=time.sleep, args=(0.3,)).start()"
    execution = template.run(code)
    assert (execution.verdict, execution.error.name) == ("error", "RuntimeError")
    assert "belljar grants 4 threads" in execution.error.value
    assert "belljar>" not in execution.error.traceback


@core
@pytest.mark.parametrize("python", PYTHONS)
def test_the_profile_without_files_computes(python):
    with Template(Policy(profile="compute"), python=python) as template:
        execution = template.run("import json, math, re, decimal\nprint(json.dumps(math.floor(2.5)), re.sub('a', 'b', 'a'))")
        assert lines(execution) == ["2 b"]
        assert execution.violations == []
        execution = template.run("import sqlite3")
        assert execution.error.name == "ModuleNotFoundError"
        assert "(rule: files; remedy: --preload" in execution.error.value
        assert template.run("open('/work/x', 'w')").verdict == "violation"
        assert "    1/0\n" in template.run("x = 1\n1/0").error.traceback


# ---- Bad use --------------------------------------------------------------------------------------------------------------


@core
def test_a_module_that_cannot_be_preloaded_is_named():
    with pytest.raises(SandboxError, match="no_such_module"):
        Template(Policy(), preload=["no_such_module"], python=PYTHONS[0])


@core
@pytest.mark.parametrize("modules", [["json"], ["json", "no_such_module"], ["matplotlib.no_such_module"]])
def test_a_preload_leaves_nothing_in_tmp(modules):
    before = set(glob.glob("/tmp/belljar-preload-*"))
    try:
        Template(Policy(), preload=modules, python=PYTHONS[0]).close()
    except SandboxError:
        pass
    new = set(glob.glob("/tmp/belljar-preload-*")) - before
    deadline = time.monotonic() + 10
    while any(map(os.path.exists, new)) and time.monotonic() < deadline:
        time.sleep(0.1)  # another test's, of this moment
    assert not any(map(os.path.exists, new))


@core
@pytest.mark.parametrize("executable", ["/bin/true", "/bin/ls"])
def test_what_is_no_python_is_said(executable):
    with pytest.raises(SandboxError, match="CPython 3.11"):
        Template(Policy(), python=executable)


def test_guests_of_a_session_keep_their_names():
    with Sandbox(Policy()) as sandbox:
        sandbox.run_code("def f(): return 41\nimport sys")
        assert sandbox.run_code("f() + 1").text == "42"
        assert sandbox.run_code("__name__, sys.modules['__main__'].f is f").text == "('__main__', True)"
