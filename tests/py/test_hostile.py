"""Hostile input, one row each: the verdict that the caller gets, what the program could see, and that the next request
is answered at once. A row that is about a refusal has a twin: the nearest thing that is permitted."""

from __future__ import annotations

import signal
import time
from dataclasses import dataclass, field

import belljar
import pytest

OK = ("ok",)


@dataclass
class Row:
    """verdict: one or more that are right. said: what its stdout has. rules: rules among its violations. error: the
    name of the exception that came out. twin: code that is permitted, with what it prints."""

    name: str
    code: str
    verdict: tuple[str, ...]
    said: str = ""
    rules: tuple[str, ...] = ()
    error: str = ""
    policy: dict = field(default_factory=dict)
    twin: tuple[str, str] | None = None


def tried(what, *, setup=""):
    """Code that tries it and prints how it was refused."""
    lines = "\n".join("    " + line for line in what.splitlines())
    return f"import os, sys\n{setup}\ntry:\n{lines}\n    print('GOT IT')\nexcept (OSError, ValueError) as e:\n    print('refused', type(e).__name__)\n"


NATIVE = "import ctypes, os\nlibc = ctypes.CDLL(None, use_errno=True)\n"
FAMILIES = "import socket\nfor f in range(0, 50):\n  for k in (1, 2, 3, 5):\n    try: socket.socket(f, k); print('GOT', f, k)\n    except OSError: pass\nprint('none')"
SIGNALS = "import signal\nfor n in range(1, 65):\n  try: signal.signal(n, signal.SIG_IGN)\n  except (OSError, ValueError): pass\nsignal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))\n"
BYTECODE = "def f(): pass\nf.__code__ = f.__code__.replace(co_code=bytes([100, 255, 83, 0] * 50), co_consts=())\nf()"

ROWS = [
    # ---- time
    Row("while 1", "while 1: pass", ("timeout",), policy={"timeout": 0.5}, error="TimeoutError"),
    Row("while 1, CPU limit", "while 1: pass", ("cpu",), policy={"cpu": 0.5}),
    Row("10**10**8", "x = 10**10**8", ("timeout",), policy={"timeout": 0.5}),
    Row("catastrophic regex", "import re; re.match('(a+)+$', 'a' * 40 + 'b')", ("timeout",), policy={"timeout": 0.5},
        twin=("import re; print(bool(re.match('(a+)+$', 'a' * 20)))", "True\n")),
    Row("numpy loop that holds the GIL",
        "import numpy as np\na = np.ones((4000, 4000), dtype=object)\nwhile 1: a = a + a",
        ("timeout", "memory"), policy={"timeout": 0.8}),
    Row("sum of a range in C", "sum(range(10**12))", ("timeout",), policy={"timeout": 0.5}),
    Row("sleep without end", "import time; time.sleep(10**6)", ("timeout",), policy={"timeout": 0.5}),
    Row("swallows every exception", "while 1:\n  try:\n    while 1: pass\n  except BaseException: pass", ("timeout",), policy={"timeout": 0.5}),
    Row("waits for stdin for ever", "import os; r, w = os.pipe(); os.read(r, 1)", ("timeout",), policy={"timeout": 0.5}),
    Row("exit handler without end", "import atexit, time; atexit.register(time.sleep, 10**6)", (*OK, "timeout"), policy={"timeout": 0.5}),
    # ---- memory and recursion
    Row("bytearray(10**11)", "bytearray(10**11)", ("memory",), error="MemoryError",
        twin=("print(len(bytearray(10**7)))", "10000000\n")),
    Row("bytearray(10**11), caught", "try: bytearray(10**11)\nexcept MemoryError: print('caught')", OK, said="caught"),
    Row("many small objects", "x = []\nwhile 1: x.append([len(x)])", ("memory",), policy={"memory": "128M"}),
    Row("many small objects, swallowed", "x = []\nwhile 1:\n  try: x.append(bytearray(4096))\n  except MemoryError: pass",
        ("timeout", "memory"), policy={"memory": "128M", "timeout": 1.5}),
    Row("'x' * 10**12", "'x' * 10**12", ("memory",)),
    Row("deep recursion", "import sys\nsys.setrecursionlimit(10**9)\ndef f(): f()\nf()", ("crashed", "memory", "error"), policy={"memory": "128M"}),
    Row("deep recursion at the default limit", "def f(): f()\nf()", ("error",), error="RecursionError"),
    # ---- output and files
    Row("prints without end", "while 1: print('x' * 10000)", ("output",)),
    Row("prints without end to stderr", "import sys\nwhile 1: print('x' * 10000, file=sys.stderr)", ("output",)),
    Row("a file without end", "f = open('big', 'wb')\nwhile 1: f.write(bytes(1 << 20))", ("error", "violation"), policy={"scratch": "8M"},
        twin=("print(open('small', 'wb').write(bytes(1000)))", "1000\n")),
    Row("files without end", "n = 0\nwhile 1: open(f'f{n}', 'w').close(); n += 1", ("error", "violation"), policy={"scratch_files": 100}),
    Row("directories without end", "import os\nn = 0\nwhile 1: os.mkdir(f'd{n}'); n += 1", ("error", "violation"), policy={"scratch_files": 100}),
    Row("descriptors without end", "import os\nx = []\nwhile 1: x.append(os.dup(0))", ("error",), policy={"descriptors": 64}, error="OSError"),
    # ---- processes
    Row("threads without end", "import threading, time\nwhile 1: threading.Thread(target=time.sleep, args=(60,), daemon=True).start()",
        ("error",), error="RuntimeError",
        twin=("import threading\nt = threading.Thread(target=print, args=('in a thread',)); t.start(); t.join()", "in a thread\n")),
    Row("os.fork", "import os; os.fork()", ("violation",), rules=("processes",), error="PermissionError"),
    Row("os.fork, native", NATIVE + "print(libc.syscall(57), ctypes.get_errno())", OK, said="-1 1", rules=("processes",)),
    Row("fork bomb", "import os\nwhile 1:\n  try: os.fork()\n  except OSError: break\nprint('over')", OK, said="over", rules=("processes",)),
    Row("subprocess", "import subprocess; subprocess.run(['id'])", ("violation",), rules=("processes",)),
    Row("os.system", "import os; print(os.system('id'))", ("violation",), rules=("processes",)),
    Row("os.execv", "import os; os.execv('/bin/sh', ['sh'])", ("violation",), rules=("processes",)),
    Row("multiprocessing", "import multiprocessing as m\nm.Process(target=print).start()", ("violation",), rules=("processes",)),
    # ---- network
    Row("sockets of every family", FAMILIES, OK, said="none", rules=("network",),
        twin=("import socket\na, b = socket.socketpair(); a.send(b'hello'); print(b.recv(9))", "b'hello'\n")),
    Row("urlopen", "import urllib.request; urllib.request.urlopen('http://192.0.2.1/')", ("error", "violation"), rules=("network",)),
    Row("asyncio connection", "import asyncio\nasyncio.run(asyncio.open_connection('127.0.0.1', 9))", ("error", "violation"), rules=("network",),
        twin=("import asyncio\nasync def f():\n  await asyncio.sleep(0.01); return 7\nprint(asyncio.run(f()))", "7\n")),
    # ---- native code
    Row("ctypes reads address 0", "import ctypes; ctypes.string_at(0)", ("crashed",),
        twin=("import ctypes; print(ctypes.string_at(b'abc'))", "b'abc'\n")),
    Row("ctypes writes to address 0", "import ctypes; ctypes.memset(0, 0, 1)", ("crashed",)),
    Row("segfault by bytecode", BYTECODE, ("crashed", "error")),
    Row("abort", "import os; os.abort()", ("crashed",)),
    Row("ptrace of itself", NATIVE + "libc.syscall(101, 0, 0, 0, 0)", ("violation",)),
    Row("mount", NATIVE + "libc.mount(b'x', b'/', b'tmpfs', 0, 0)", ("violation",)),
    Row("bpf", NATIVE + "libc.syscall(321, 0, 0, 0)", ("violation",)),
    Row("32-bit call numbers (x32)", NATIVE + "libc.syscall(0x40000000 | 39)", ("violation",)),
    Row("io_uring", NATIVE + "print(libc.syscall(425, 1, 0), ctypes.get_errno())", OK, said="-1 38"),
    Row("a new seccomp listener", NATIVE + "print(libc.syscall(317, 1, 8, 0), ctypes.get_errno())", OK, said="-1 1"),
    Row("executable memory", tried("mmap.mmap(-1, 4096, flags=mmap.MAP_PRIVATE, prot=7)", setup="import mmap"), OK, said="refused", policy={"jit": False},
        twin=("import mmap; print(len(mmap.mmap(-1, 4096)))", "4096\n")),
    Row("executable memory by default, which holds nothing else", "import mmap\nmmap.mmap(-1, 4096, flags=mmap.MAP_PRIVATE, prot=7)\n"
        + tried("open('/etc/shadow')"), OK, said="refused PermissionError", rules=("read",)),
    # ---- signals
    Row("os.kill of its parent", tried("os.kill(os.getppid(), 9)"), ("ok", "crashed", "error"),
        twin=("import os, signal\nsignal.signal(10, lambda *_: print('got it'))\nos.kill(os.getpid(), 10)", "got it\n")),
    Row("os.kill of process 1", tried("os.kill(1, 9)"), OK, said="refused", rules=("processes",)),
    Row("os.killpg of another group", tried("os.killpg(1, 0)"), OK, said="refused", rules=("processes",),
        twin=("import os; print(os.killpg(os.getpgrp(), 0))", "None\n")),
    Row("SIGKILL of its group", "import os; os.killpg(os.getpgrp(), 9)", ("crashed",), twin=("print('another lives')", "another lives\n")),
    Row("os.kill(-1)", tried("os.kill(-1, 9)"), OK, said="refused", rules=("processes",)),
    Row("os.kill of everyone in turn", "import os\nfor p in range(1, 3000):\n  if p == os.getpid(): continue\n  try: os.kill(p, 9); print('GOT', p)\n  except OSError: pass\nprint('none')",
        OK, said="none", rules=("processes",)),
    Row("SIGSTOP of itself", "import os; os.kill(os.getpid(), 19)", ("timeout",), policy={"timeout": 0.5}),
    Row("all signals ignored", SIGNALS + "while 1: pass", ("timeout", "violation"), policy={"timeout": 0.5}),
    Row("SIGKILL of itself", "import os; os.kill(os.getpid(), 9)", ("crashed",)),
    # ---- descriptors and the channel
    Row("all descriptors closed", "import os; os.closerange(0, 256)\nprint(1)", ("error", "crashed", "violation", "ok")),
    Row("all descriptors closed, goes on", "import os; os.closerange(0, 256)\nwhile 1: pass", ("timeout", "crashed", "violation"), policy={"timeout": 0.5}),
    Row("writes to every descriptor, the control socket included",
        "import os\nfor fd in range(256):\n  try: os.write(fd, b'\\xff' * 4096)\n  except OSError: pass\nimport time; time.sleep(1)",
        ("violation", "crashed", "error"), policy={"timeout": 2}),
    Row("reads from every descriptor", "import os\nfor fd in (0, 1, 2):\n  try: os.read(fd, 10)\n  except OSError: pass\nprint('on')", OK, said="on"),
    Row("closes stdout", "import os, sys; os.close(1); print('x')", ("error", "ok")),
    Row("forges its result", "import os, struct\nos.write(3, struct.pack('<II', 4096, 64) + b'A' * 4096)\nimport time; time.sleep(1)",
        ("violation", "crashed", "error"), policy={"timeout": 2}),
    # ---- files
    Row("an absolute path", tried("open('/etc/shadow')"), OK, said="refused PermissionError", rules=("read",),
        twin=("print(open('/etc/hostname').read())", "belljar\n\n")),
    Row("an absolute path, not caught", "open('/etc/shadow')", ("violation",), rules=("read",), error="PermissionError"),
    Row("a relative path", tried("open('../../../../../../etc/shadow')"), OK, said="refused", rules=("read",),
        twin=("import os\nos.mkdir('a'); open('a/b', 'w').write('here'); print(open('a/../a/b').read())", "here\n")),
    Row("a symbolic link", tried("os.symlink('/etc/shadow', 'l'); open('l')"), OK, said="refused",
        twin=("import os\nopen('f', 'w').write('mine'); os.symlink('f', 'l'); print(open('l').read())", "mine\n")),
    Row("a symbolic link to /", tried("os.symlink('/', 'root'); open('root/etc/shadow')"), OK, said="refused"),
    Row("/proc/self/root", tried("open('/proc/self/root/etc/shadow')"), OK, said="refused"),
    Row("/proc of others", "import os\nfor p in {*range(1, 300)} - {os.getpid()}:\n  for n in ('mem', 'environ', 'maps', 'cmdline', 'fd'):\n    if os.path.exists(f'/proc/{p}/{n}'): print('GOT', p, n)\nprint('none')", OK, said="none"),
    Row("/proc/1/environ", tried("open('/proc/1/environ')"), OK, said="refused"),
    Row("/dev/mem", tried("open('/dev/mem')"), OK, said="refused"),
    Row("a NUL byte in a path", tried("open('/etc/passwd\\0x')"), OK, said="refused ValueError"),
    Row("a path of 1 MiB", tried("open('/' + 'a/' * (1 << 19))"), OK, said="refused OSError"),
    Row("a name of 100,000 bytes", tried("open('x' * 100000, 'w')"), OK, said="refused OSError"),
    Row("writes into the standard library", tried("open(os.__file__, 'a')"), OK, said="refused"),
    Row("deletes what it can", "import os, shutil\nfor d in ('/', '/usr', '/etc', '/work', '/tmp'): shutil.rmtree(d, ignore_errors=True)\nprint('tried')", ("ok", "timeout"), policy={"timeout": 1}),
    # ---- results and exceptions
    Row("a result that cannot be printed", "class C:\n  def __repr__(self): raise ValueError('no')\nC()", ("ok", "error")),
    Row("a result whose repr never ends", "class C:\n  def __repr__(self):\n    while 1: pass\nC()", ("timeout",), policy={"timeout": 0.5}),
    Row("a result whose repr exits", "import os\nclass C:\n  def __repr__(self): os._exit(7)\nC()", ("error", "ok")),
    Row("an exception that cannot be printed", "class E(Exception):\n  def __str__(self): raise self\nraise E()", ("error",)),
    Row("an exception with a huge message", "raise ValueError('x' * 50_000_000)", ("error", "memory"), error="ValueError"),
    Row("an exception of a type with a hostile name", "E = type('E\\x1b[31m' * 1000, (Exception,), {})\nraise E()", ("error",)),
    Row("a chain of 100,000 exceptions", "e = None\nfor n in range(100000):\n  f = ValueError(n); f.__context__ = e; e = f\nraise e", ("error", "crashed")),
    Row("replaces the runner's modules", "import sys\nfor n in list(sys.modules): sys.modules[n] = None\nsys.stdout = None\n1/0", ("error", "crashed")),
    Row("a source of 10,000 nested parentheses", "(" * 10000 + ")" * 10000, ("error", "crashed", "memory")),
    Row("a source with a NUL byte", "print(1)\0", ("error",)),
    Row("a source that is no UTF-8", "x = '\udcff'", ("error",)),
    Row("sys.exit with a huge text", "import sys; sys.exit('x' * 10_000_000)", ("error",)),
    Row("sys.exit(-1)", "import sys; sys.exit(-1)", ("error",)),
    Row("os._exit(0) in a thread", "import os, threading\nthreading.Thread(target=os._exit, args=(0,)).start()\nimport time; time.sleep(5)", ("ok",)),
]  # fmt: skip


@pytest.fixture(scope="module")
def templates():
    """A template for each set of limits that a row asks for. Two parked guests: the next answer does not wait for a fork."""
    made = {}

    def get(policy):
        key = tuple(sorted(policy.items()))
        if key not in made:
            made[key] = belljar.Template(belljar.Policy(**{"timeout": 60, **policy}), parked=2)
        return made[key]

    yield get
    for template in made.values():
        template.close()


@pytest.mark.core
@pytest.mark.parametrize("row", ROWS, ids=[row.name for row in ROWS])
def test_hostile_input_ends_as_it_should_and_the_next_is_answered(row, templates, report):
    if "numpy" in row.code:
        pytest.importorskip("numpy")
    template = templates(row.policy)
    start = time.monotonic()
    execution = template.run(row.code)
    took = time.monotonic() - start
    start = time.monotonic()
    answer = template.run("6*7")
    next_ms = (time.monotonic() - start) * 1000
    rules = sorted({violation.rule for violation in execution.violations})
    report("hostile input", f"{row.name:60} {execution.verdict:10} {took:5.2f} s  next after {next_ms:4.0f} ms  {' '.join(rules)}")
    assert execution.verdict in row.verdict, (execution, execution.error)
    assert row.said in execution.stdout
    assert "GOT" not in execution.stdout
    assert set(row.rules) <= set(rules), rules
    if row.error:
        assert execution.error is not None and execution.error.name == row.error
    if execution.verdict not in ("ok",):
        assert execution.error is not None, "a run that did not go well says what it was"
    assert (answer.verdict, answer.text) == ("ok", "42")
    for violation in execution.violations:
        assert violation.op and violation.rule and violation.hint, violation


TWINS = [row for row in ROWS if row.twin]


@pytest.mark.core
@pytest.mark.parametrize("row", TWINS, ids=[row.name for row in TWINS])
def test_the_nearest_permitted_thing_works(row, templates):
    code, said = row.twin
    execution = templates(row.policy).run(code)
    assert (execution.verdict, execution.stdout) == ("ok", said), (execution, execution.error)
    assert execution.violations == []


@pytest.mark.core
def test_code_of_64_mebibytes_is_a_clear_error():
    with belljar.Template() as template:
        with pytest.raises(belljar.SandboxError, match="larger than"):
            template.run("#" * (65 << 20))
        assert template.run("6*7").text == "42"


@pytest.mark.parametrize("profile", ["full", "compute"])
@pytest.mark.parametrize(
    ("crash", "name"),
    [("ctypes.string_at(0)", "SIGSEGV"), ("os.abort()", "SIGABRT"), ("ctypes.CDLL(None).syscall(335)", "SIGILL")],
)
def test_a_crash_is_told_once_and_ends_the_guest(profile: str, crash: str, name: str) -> None:
    """Also where no handler can be set back (faulthandler raises its signal again): else it would be told for ever."""
    told = belljar.run(f"import ctypes, os\n{crash}", belljar.Policy(profile=profile, timeout=60, preload=["ctypes"]))
    assert (told.verdict, told.exit) == ("crashed", 128 + signal.Signals[name]), told
    assert told.error is not None and told.error.traceback.count("Fatal Python error") == 1, told
