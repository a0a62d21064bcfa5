"""What plain Python would have written is there: files, output, exit status, at every kind of end."""

import os
import pathlib
import re
import signal
import subprocess
import sys
import time

import pytest

from belljar import Policy, Sandbox, SandboxError, Template

core = pytest.mark.core
PYTHONS = ["/usr/bin/python3", *filter(None, os.environ.get("BELLJAR_PYTHONS", "").split(":"))]
BELLJAR = str(pathlib.Path(os.environ.get("BELLJAR_BUILD", pathlib.Path(__file__).parents[2] / "build")) / "belljar")


@pytest.fixture(scope="module", params=PYTHONS)
def template(request):
    with Template(Policy(timeout=20), python=request.param) as template:
        yield template


# ---- The end of a program ----------------------------------------------------------------------------------------

PROGRAMS = {
    "text file": "f = open('out', 'w'); f.write('abc')",
    "text file after an exception": "f = open('out', 'w'); f.write('abc'); 1/0",
    "text file after an exception in a function": "def f(file):\n    file.write('abc')\n    1/0\nf(open('out', 'w'))",
    "text file in an exception that is kept": "f = open('out', 'w'); f.write('abc')\ntry: 1/0\nexcept Exception as e: kept = e",
    "text file after sys.exit": "import sys; f = open('out', 'w'); f.write('abc'); sys.exit(3)",
    "binary file": "f = open('out', 'wb'); f.write(b'abc')",
    "file read and written": "f = open('out', 'w+'); f.write('abc'); f.seek(0); f.write('x')",
    "appended": "open('out', 'w').write('1'); f = open('out', 'a'); f.write('2')",
    "csv": "import csv; f = open('out', 'w', newline=''); csv.writer(f).writerow('abc')",
    "json": "import json; f = open('out', 'w'); json.dump([1], f)",
    "gzip": "import gzip; f = gzip.GzipFile('out', 'wb', mtime=0); f.write(b'abc' * 1000)",
    "bz2": "import bz2; f = bz2.open('out', 'wt'); f.write('abc' * 1000)",
    "zip": """
import zipfile
z = zipfile.ZipFile('out', 'w')
z.writestr(zipfile.ZipInfo('name'), 'abc')""",
    "tar": "import tarfile; t = tarfile.open('out', 'w'); i = tarfile.TarInfo('name'); t.addfile(i)",
    "shelve": "import shelve, dbm.dumb; s = shelve.Shelf(dbm.dumb.open('out', 'c'), writeback=True); s['k'] = [1]",
    "sqlite": "import sqlite3; c = sqlite3.connect('out.db'); c.execute('create table t (x)'); c.execute('insert into t values (1)')",
    "logging": """
import logging, logging.handlers
h = logging.handlers.MemoryHandler(100, target=logging.FileHandler('out', delay=True))
logging.getLogger().addHandler(h)
logging.warning('kept back')""",
    "file held by a module": "import math; math.f = open('out', 'w'); math.f.write('abc')",
    "file held by an attribute of builtins": "import builtins; builtins.f = open('out', 'w'); f.write('abc')",
    "file held by a function": "def f(file=open('out', 'w')): file.write('abc')\nf()",
    "file held by a class": "class A:\n    f = open('out', 'w')\nA.f.write('abc')",
    "file in a cycle": "l = [open('out', 'w')]; l.append(l); l[0].write('abc'); del l",
    "file with a descriptor of its own": "import os; f = os.fdopen(os.open('out', os.O_WRONLY | os.O_CREAT), 'w'); f.write('abc')",
    "file in a module of the program's": """
open('helper.py', 'w').write("f = open('out', 'w')\\ndef put(s): f.write(s)\\nclass A:\\n  def __del__(s): print('A', f.name)\\na = A()")
import sys; sys.path.insert(0, '.')
sys.dont_write_bytecode = True
import helper
helper.put('abc')""",
    "temporary file": "import tempfile; t = tempfile.NamedTemporaryFile(dir='.'); t.write(b'abc')",
    "temporary folder": "import tempfile; t = tempfile.TemporaryDirectory(dir='.')",
    "temporary file that stays": "import tempfile; t = tempfile.NamedTemporaryFile('w', prefix='o', dir='.', delete=False); t.write('1'); import os; os.rename(t.name, 'out')",
    "__del__": "class A:\n    def __del__(self): print('gone')\na = A()",
    "__del__ in a cycle": "class A:\n    def __del__(self): print('gone', self.n)\na = A(); a.a = a; a.n = 1; b = A(); b.n = 2; b.b = b; del b",
    "__del__ in order": "class A:\n    def __init__(s, n): s.n = n\n    def __del__(s): print(s.n, end=' ')\nx, y, z = A(1), A(2), A(3)\nl = [A(4), A(5)]",
    "__del__ that uses the program's names": "import json\ndef f(): return json.dumps([1])\nclass A:\n    def __del__(self): print(f())\na = A()",
    "__del__ that writes a file": "class A:\n    def __del__(self): open('out', 'w').write('abc')\na = A()",
    "__del__ after an exception": "class A:\n    def __del__(self): print('gone')\na = A()\n1/0",
    "__del__ in a frame of the traceback": "class A:\n    def __del__(self): print('gone')\ndef f():\n    a = A()\n    1/0\nf()",
    "__del__ and an exit function": """
import atexit
class A:
    def __del__(self): print('gone')
a = A()
atexit.register(print, 'exit')
print('end')""",
    "__del__ of an object that the collector does not know": "class A:\n    __slots__ = ()\n    def __del__(self): print('gone')\nd = {'a': (1, (A(), 2))}",
    "__del__ of a class's class": "class M(type):\n    def __del__(self): print('gone')\nclass A(metaclass=M): pass",
    "__del__ given to a class later": "class A: pass\na = A()\nA.__del__ = lambda self: print('gone')",
    "__del__ of a base": "class A:\n    def __del__(self): print('gone')\nclass B(A, int): pass\nb = [B(3)]",
    "__del__ in a deque in a default dict": "import collections\nclass A:\n    def __del__(self): print('gone')\nd = collections.defaultdict(collections.deque); d[1].append(A())",
    "__del__ in a closure": "class A:\n    def __del__(self): print('gone')\ndef f():\n    a = A()\n    return lambda: a\ng = f()",
    "__del__ in an exception that is kept": "class A:\n    def __del__(self): print('gone')\ndef f():\n    a = A(); 1/0\ntry: f()\nexcept Exception as e: kept = e",
    "__del__ on an exception": "class E(Exception):\n    def __del__(self): print('gone')\nkept = [E()]",
    "a callback of a weak reference": "import weakref\nclass A: pass\na = A(); r = weakref.ref(a, lambda r: print('gone'))\nholder = [a]; del a\nholder.append(holder); del holder",
    "generator in a list": "def g():\n    try: yield\n    finally: print('finally')\nl = [g()]; next(l[0])",
    "generator expression left open": "def f():\n    try: yield 1; yield 2\n    finally: print('finally')\nx = (y for y in f()); next(x)",
    "coroutine left open": "import types\n@types.coroutine\ndef w(): yield\nasync def f():\n    try: await w()\n    finally: print('finally')\nc = f(); c.send(None)",
    "a callback of the collector": "import gc\nl = []\ngc.callbacks.append(lambda phase, info: l.append(phase))",
    "nothing at all": "",
    "a class and its object": "class A:\n    def __init__(self): self.a = self\na = A()",
    "generator left open": "def g():\n    try: yield 1\n    finally: print('finally')\nx = g(); next(x)",
    "with in a generator": "def g():\n    with open('out', 'w') as f:\n        f.write('abc'); yield\nx = g(); next(x)",
    "weakref.finalize": "import weakref\nclass A: pass\na = A(); weakref.finalize(a, print, 'finalized')",
    "exit functions, last first": "import atexit; [atexit.register(print, n) for n in range(3)]",
    "exit function that exits": "import atexit, sys; atexit.register(print, 'x'); atexit.register(sys.exit, 7)",
    "exit function after sys.exit": "import atexit, sys; atexit.register(print, 'x'); sys.exit(2)",
    "exit function after an exception": "import atexit; atexit.register(print, 'x'); 1/0",
    "exit function and os._exit": "import atexit, os; atexit.register(os._exit, 5)",
    "thread": "import threading, time\ndef f(): time.sleep(.3); print('thread')\nthreading.Thread(target=f).start(); print('main')",
    "thread after an exception": "import threading, time\ndef f(): time.sleep(.3); print('thread')\nthreading.Thread(target=f).start(); 1/0",
    "thread that writes a file": "import threading, time\nf = open('out', 'w')\ndef t(): time.sleep(.2); f.write('abc')\nthreading.Thread(target=t).start()",
    "daemon thread": "import threading, time\nf = open('out', 'w'); f.write('abc')\nthreading.Thread(target=time.sleep, args=(9,), daemon=True).start()",
    "daemon thread at work": """
import threading, time
n = 0
def work():
    global n
    while True:
        n += 1
threading.Thread(target=work, daemon=True).start()
f = open('out', 'w'); f.write('abc')
print('end')""",
    "executor": "import concurrent.futures as c, time\np = c.ThreadPoolExecutor(1); p.submit(lambda: (time.sleep(.2), print('done')))",
    "C stdio": "import ctypes; ctypes.CDLL(None).printf(b'from C\\n'); print('from Python')",
    "C stdio, no line": "import ctypes; ctypes.CDLL(None).printf(b'from C')",
    "no line": "print('abc', end='')",
    "no line on stderr": "import sys; sys.stderr.write('abc')",
    "no line, then an exception": "print('abc', end=''); 1/0",
    "bytes": "import sys; sys.stdout.buffer.write(b'abc\\xff')",
    "text and bytes": "import sys; sys.stdout.write('a\\n'); sys.stdout.buffer.write(b'b\\n'); print('c'); sys.stdout.buffer.write(b'd'); print('e', flush=True); print('f')",
    "bytes, then text": "import sys\nfor i in range(100):\n    sys.stdout.buffer.write(b'b%d ' % i)\n    sys.stdout.flush()\n    print('t', i, end=' ', flush=True)",
    "much without a line": "for i in range(20000): print(i, end=' ')",
    "writelines": "import sys; sys.stdout.writelines(['a', 'b\\n', 'c'])",
    "another stdout": "import io, sys; sys.stdout = io.TextIOWrapper(sys.stdout.buffer, 'utf-16'); print('é')",
    "reconfigured": "import sys; sys.stdout.reconfigure(encoding='latin-1'); print('é', end='')",
    "stdout of the program's own": "import sys\nsys.stdout = open(1, 'w', closefd=False)\nprint('abc')",
    "stdout as a file": "import sys; sys.stdout = open('out', 'w'); print('abc')",
    "stdout closed": "import sys; print('abc', end=''); sys.stdout.close()",
    "stdout None": "import sys; sys.stdout = None; print('x')",
    "stdout detached": "import sys; print('a', end=''); b = sys.stdout.detach(); b.write(b'b')",
    "surrogates": "print('a\\udcffb')",
    "descriptor 1 closed": "import os, sys; sys.stdout.buffer.write(b''); os.close(1)",
    "sys.exit()": "import sys; sys.exit()",
    "sys.exit(None)": "import sys; sys.exit(None)",
    "sys.exit(text)": "import sys; sys.exit('a word')",
    "sys.exit(256)": "import sys; sys.exit(256)",
    "sys.exit(-1)": "import sys; sys.exit(-1)",
    "sys.exit(large)": "import sys; sys.exit(2 ** 70)",
    "sys.exit(2 ** 33 + 5)": "import sys; sys.exit(2 ** 33 + 5)",
    "sys.exit(True)": "import sys; sys.exit(True)",
    "sys.exit(1.5)": "import sys; sys.exit(1.5)",
    "sys.exit(tuple)": "import sys; sys.exit((1, 2))",
    "sys.exit(an object)": "import sys\nclass A:\n    def __str__(self): return 'A!'\nsys.exit(A())",
    "sys.exit(an int of its own)": "import sys\nclass A(int):\n    def __and__(self, other): return 'no'\nsys.exit(A(3))",
    "SystemExit of a class": "class E(SystemExit): pass\nraise E(4)",
    "exit()": "exit(6)",
    "os._exit": "import os; print('abc'); os._exit(9)",
    "os._exit with a file open": "import os; f = open('out', 'w'); f.write('abc'); os._exit(9)",
    "SystemExit in a thread": "import threading, sys; t = threading.Thread(target=sys.exit, args=(3,)); t.start(); t.join()",
    "an error in a thread": "import threading\nt = threading.Thread(target=lambda: 1/0); t.start(); t.join()",
    "an error in __del__": "class A:\n    def __del__(self): raise ValueError('in del')\na = A()",
    "an error in an exit function": "import atexit\ndef f(): raise ValueError('at exit')\natexit.register(f)",
    "excepthook": "import sys\nsys.excepthook = lambda *a: print('hook', a[0].__name__)\n1/0",
    "unraisablehook": "import sys\nsys.unraisablehook = lambda a: print('hook', a.exc_type.__name__)\nclass A:\n    def __del__(self): 1/0\na = A()",
    "a signal": "import signal, os; print('abc', flush=True); os.kill(os.getpid(), signal.SIGTERM)",
    "raise_signal": "import signal; print('abc', flush=True); signal.raise_signal(signal.SIGUSR1)",
    "abort": "import os; print('abc', flush=True); os.abort()",
}  # fmt: skip
# Where plain Python loses something at its end, or keeps it back, and belljar does not (exit, stdout, files).
MORE = {
    "text file in an exception that is kept": (0, "", {"out": b"abc"}),
    "file in a cycle": (0, "", {"out": b"abc"}),
    "daemon thread at work": (0, "end\n", {"out": b"abc"}),
    "text and bytes": (0, "a\nb\nc\nde\nf\n", {}),
    "os._exit": (9, "abc\n", {}),
    "__del__ that writes a file": (0, "", {"out": b"abc"}),
    "stdout detached": (120, "ab", {}),  # as plain Python; what it says of it depends on its version
    "sys.exit(large)": (255, "", {}),  # the same
    "unraisablehook": (0, "hook ZeroDivisionError\n", {}),
}


def remark_lines(text):
    """stderr without what names places, and without the traceback of an exception that ends the program."""
    kept, is_inside = [], False
    for line in text.splitlines():
        if line.startswith("Traceback (most") or line.startswith("Fatal Python error"):
            is_inside = True
            continue
        if is_inside and (line.startswith(" ") or line.startswith(("Current thread", "Extension", "Python runtime")) or not line):
            continue
        if is_inside and re.match(r"[A-Za-z.]+(Error|Exception)\b", line):
            is_inside = False
            continue
        is_inside = False
        kept.append(re.sub(r"0x[0-9a-f]+|Thread-\d+ \(.*\)|<string>|<code>", "", line))
    return kept


def plain_python(python, code, folder):
    done = subprocess.run([python, "-I", "-X", "utf8", "-c", code], cwd=folder, capture_output=True, timeout=60)
    files = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    status = done.returncode if done.returncode >= 0 else 128 - done.returncode
    return status, done.stdout.decode("utf-8", "replace"), remark_lines(done.stderr.decode("utf-8", "replace")), files


@core
@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_leaves_what_plain_python_leaves(template, tmp_path, name):
    ex = template.run(PROGRAMS[name])
    files = {name: ex.files[name] for name in ex.files}
    if name in MORE:
        assert (ex.exit, ex.stdout, files) == MORE[name]
    else:
        got = ex.exit, ex.stdout, remark_lines(ex.stderr), files
        assert got == plain_python(template._pool.key[2], PROGRAMS[name], tmp_path)


@core
@pytest.mark.parametrize("form", ["script", "-c", "-m"])
def test_the_command_leaves_what_plain_python_leaves(tmp_path, form):
    code = """
import atexit, sys, threading, time
class A:
    def __del__(self): print('gone', end='')
a = A()
atexit.register(print, 'exit')
threading.Thread(target=lambda: (time.sleep(.2), print('thread'))).start()
f = open('out', 'w'); f.write('abc')
print('end', end=' ')
sys.exit('a word')
"""
    for folder in (tmp_path, tmp_path.parent, tmp_path.parent.parent):
        folder.chmod(0o755)  # the guest is another user
    (tmp_path / "program.py").write_text(code)
    arguments = {"script": ["program.py"], "-c": ["-c", code], "-m": ["-m", "program"]}[form]
    plain = subprocess.run([PYTHONS[0], *arguments], cwd=tmp_path, capture_output=True, text=True)
    granted = [] if form == "-c" else ["--read", ".", "--cwd", "/work"]  # where it may write
    if form == "-m":  # whose folder is not on the path of -m here, which begins with /work
        go = f"import sys, runpy; sys.path.insert(0, {str(tmp_path)!r}); runpy._run_module_as_main('program')"
        arguments = ["-c", go]
    done = subprocess.run([BELLJAR, "run", *granted, *arguments], cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (plain.returncode, plain.stdout, plain.stderr)
    assert (done.returncode, done.stdout) == (1, "end thread\nexit\ngone")


# ---- Limits, crashes, a host that has had enough -----------------------------------------------------------------

UNFINISHED = "print('progress 10%', end='')\n"
ENDS = {
    "wall time": ("import time; time.sleep(30)", "timeout"),
    "wall time at work": ("while True: pass", "timeout"),
    "threads": ("import ctypes, time\nlibc = ctypes.CDLL(None)\n"
                "import threading\nfor i in range(99): threading.Thread(target=time.sleep, args=(9,), daemon=True).start()", None),
    "wall time in a lock": ("import threading; l = threading.Lock(); l.acquire(); l.acquire()", "timeout"),
    "CPU time": ("while True: pass", "cpu"),
    "memory": ("l = []\nwhile True: l.append(bytearray(1 << 20))", "memory"),
    "crash": ("import ctypes; ctypes.string_at(0)", "crashed"),
    "abort": ("import os; os.abort()", "crashed"),
    "SIGKILL": ("import os; os.kill(os.getpid(), 9)", "crashed"),
    "os._exit": ("import os; os._exit(1)", "error"),
    "a call that ends the process": ("import ctypes; ctypes.CDLL(None).syscall(0x40000000 + 1)", None),
    "output": ("import os\nwhile True: os.write(2, b'x' * 60000)", "output"),
}  # fmt: skip
WRITERS = {
    "print": "print('progress 10%', end='')",
    "several parts": "print('progress', '10%', end='')",
    "sys.stdout.write": "import sys; sys.stdout.write('progress 10%')",
    "bytes": "import sys; sys.stdout.buffer.write(b'progress 10%')",
    "descriptor": "import os; os.write(1, b'progress 10%')",
    "writelines": "import sys; sys.stdout.writelines(['progress', ' ', '10%'])",
    "after lines": "import sys; print('progress', end=''); print(' 1', end=''); print('0%', end='')",
    "another stream": "import io, sys; sys.stdout = io.TextIOWrapper(sys.stdout.buffer, write_through=True); print('progress 10%', end='')",
}  # fmt: skip


@pytest.fixture(scope="module")
def short():
    with Template(Policy(jit=False, timeout=1, memory="128M", output="1M"), python=PYTHONS[0]) as template:
        yield template


@core
@pytest.mark.parametrize("name", ENDS)
def test_an_unfinished_line_is_there_however_it_ends(short, name):
    code, verdict = ENDS[name]
    code = UNFINISHED + code
    if verdict == "cpu":
        with Template(Policy(timeout=20, cpu=0.5), python=PYTHONS[0]) as template:
            ex = template.run(code)
    elif verdict in ("timeout", "output"):
        ex = short.run(code, timeout=20 if verdict == "output" else None)
    else:
        ex = short.run(code, timeout=20)
    assert ex.stdout == "progress 10%"
    assert ex.verdict == verdict or verdict is None


@core
@pytest.mark.parametrize("stream", ["stdout", "stderr"])
@pytest.mark.parametrize("name", WRITERS)
def test_an_unfinished_line_is_there_however_it_was_written(short, name, stream):
    code = WRITERS[name]
    if stream == "stderr":
        code = (
            code.replace("stdout", "stderr")
            .replace("write(1", "write(2")
            .replace("end=''", "end='', file=__import__('sys').stderr")
        )
    ex = short.run(code + "\nimport ctypes; ctypes.string_at(0)", timeout=20)
    assert (ex.verdict, getattr(ex, stream)) == ("crashed", "progress 10%")


def test_an_unfinished_line_of_a_thread_is_there_at_a_limit(short):
    ex = short.run(
        "import threading, time\nt = threading.Thread(target=lambda: (print('progress 10%', end=''), time.sleep(30)))\nt.start(); t.join()"
    )
    assert (ex.verdict, ex.stdout) == ("timeout", "progress 10%")


def test_lines_of_threads_stay_whole(short):
    ex = short.run("""
import threading
def work(n):
    for i in range(200): print('x' * 50, n)
threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
for t in threads: t.start()
for t in threads: t.join()
""", timeout=20)  # fmt: skip
    assert ex.verdict in ("ok", "violation"), ex.error
    assert {line[:-1] for line in ex.stdout.splitlines()} <= {"x" * 50 + " "}


@core
def test_an_unfinished_line_is_streamed():
    with Sandbox() as sandbox:
        began = time.monotonic()
        events = sandbox.stream("import time\nprint('a', end='')\ntime.sleep(8)")
        first = next(iter(events))
        assert first.text == "a"
        assert time.monotonic() - began < 6
        sandbox.kill()


def test_the_last_exception_is_told_when_a_thread_reaches_the_limit(short):
    ex = short.run("import threading, time\nthreading.Thread(target=time.sleep, args=(30,)).start()\n1/0")
    assert ex.verdict == "timeout"
    assert "ZeroDivisionError" in ex.error.traceback


def test_a_signal_handler_s_exception_comes_out_of_the_program(short):
    ex = short.run("""
import signal, time
def late(*a): raise TimeoutError('late')
signal.signal(signal.SIGALRM, late); signal.setitimer(signal.ITIMER_REAL, .1)
try:
    while True:
        print('.', end='')
except TimeoutError as error:
    print(error)
""", timeout=20)  # fmt: skip
    assert ex.verdict == "ok", ex.error
    assert ex.stdout.endswith("late\n") or ex.truncated


# ---- exit() ------------------------------------------------------------------------------------------------------


def leaves(how):
    import os
    import sys

    {"exit": lambda: exit(), "sys.exit(0)": lambda: sys.exit(0), "sys.exit": sys.exit, "three": lambda: sys.exit(3),
     "text": lambda: sys.exit("a word"), "os._exit": lambda: os._exit(0), "raise": lambda: (_ for _ in ()).throw(SystemExit)}[how]()  # fmt: skip


@core
@pytest.mark.parametrize("how", ["exit", "sys.exit(0)", "sys.exit", "three", "text", "raise"])
def test_exit_in_a_called_function_is_an_error_of_the_guest(how):
    import belljar

    with Sandbox() as sandbox:
        with pytest.raises(belljar.GuestError, match="SystemExit"):
            sandbox.call(leaves, how)
        assert sandbox.run_code("6 * 7").value == 42
        assert sandbox.run_code("input()").error.name == "EOFError"  # exit() closes sys.stdin
        with pytest.raises(belljar.GuestError, match="SystemExit"):
            sandbox.execute("import sys; sys.exit(0)")
        assert sandbox.run_code("import sys; sys.exit(4)").exit == 4
        assert sandbox.run_code("exit()").exit == 0
        ex = sandbox.run_code("class A:\n    def __repr__(self): exit()\nA()")
        assert ex.verdict in ("ok", "error") and sandbox.run_code("6 * 7").value == 42
        with belljar.SandboxExecutor(max_workers=1) as pool, pytest.raises(belljar.SandboxError, match="SystemExit"):
            pool.submit(leaves, how).result(timeout=60)


@core
def test_os_exit_in_a_called_function_ends_the_session_and_says_so():
    import belljar

    with Sandbox() as sandbox:
        with pytest.raises(belljar.GuestError, match="SystemExit: 0"):
            sandbox.call(leaves, "os._exit")
        with pytest.raises(belljar.SessionEnded, match="os._exit"):
            sandbox.run_code("1")


# ---- Standard input of a session ---------------------------------------------------------------------------------


@core
@pytest.mark.parametrize("first", ["run_code", "execute", "call", "set", "files"])
def test_a_session_without_stdin_is_at_its_end_at_once(first):
    with Sandbox(Policy(timeout=10), files={"x": "y"} if first == "files" else None) as sandbox:
        began = time.monotonic()
        if first == "execute":
            sandbox.execute("import sys\ngot = sys.stdin.read()")
            assert sandbox["got"] == ""
        elif first == "call":
            assert sandbox.call(lambda: __import__("sys").stdin.read()) == ""
        elif first == "set":
            sandbox["x"] = 1
        assert sandbox.run_code("input()").error.name == "EOFError"
        assert sandbox.run_code("import sys; sys.stdin.read()").value == ""
        assert sandbox.run_code("import sys; sys.stdin.buffer.read()").value == b""
        assert time.monotonic() - began < 8
        try:
            twin = sandbox.fork()
        except SandboxError as error:
            assert "user namespaces" in str(error)
        else:
            with twin:
                assert twin.run_code("input()").error.name == "EOFError"


@core
@pytest.mark.parametrize("first", ["run_code", "execute", "set", "files"])
def test_a_session_reads_the_stdin_it_was_given_and_then_its_end(first):
    with Sandbox(Policy(timeout=10), stdin="one\ntwo\n", files={"x": "y"} if first == "files" else None) as sandbox:
        if first == "set":
            sandbox["x"] = 1
        if first == "execute":
            sandbox.execute("got = input()")
            assert sandbox["got"] == "one"
        else:
            assert sandbox.run_code("input()").value == "one"
        assert sandbox.run_code("input()").value == "two"
        assert sandbox.run_code("input()").error.name == "EOFError"


def test_a_large_stdin_is_read_over_several_runs():
    with Sandbox(Policy(timeout=20), stdin=b"x" * 999 + b"\n" + b"y" * 3_000_000) as sandbox:
        assert len(sandbox.run_code("input()").value) == 999
        assert sandbox.run_code("import sys; len(sys.stdin.read())").value == 3_000_000


def test_a_callback_answers_over_several_runs():
    answers = iter(["one\n", "two\n", ""])
    with Sandbox(Policy(timeout=10), stdin=lambda: next(answers, "")) as sandbox:
        assert sandbox.run_code("input()").value == "one"
        assert sandbox.run_code("input()").value == "two"
        assert sandbox.run_code("input()").error.name == "EOFError"


# ---- Source text -------------------------------------------------------------------------------------------------

SOURCES = {
    "cookie": (b"# -*- coding: latin-1 -*-\nprint('caf\xe9')", "café\n", None),
    "cookie in the second line": (b"#!/x\n# vim: set fileencoding=cp1252 :\nprint('\x80')", "€\n", None),
    "byte order mark": (b"\xef\xbb\xbfprint('caf\xc3\xa9')", "café\n", None),
    "mark against cookie": (b"\xef\xbb\xbf# coding: latin-1\n1", "", "SyntaxError"),
    "unknown encoding": (b"# coding: nothing-like-it\n1", "", "SyntaxError"),
    "no cookie": (b"print('caf\xe9')", "", "SyntaxError"),
    "a coding line in text": ("# coding: latin-1\nprint('café')", "café\n", None),
    "text": ("print('café')", "café\n", None),
    "windows lines": (b"print(1)\r\nprint(2)\r\n", "1\n2\n", None),
}


@core
@pytest.mark.parametrize("name", SOURCES)
def test_source_is_read_as_python_reads_a_file(template, name, tmp_path):
    source, stdout, error = SOURCES[name]
    with Sandbox(template=template) as sandbox:
        for ex in (template.run(source), sandbox.run_code(source)):
            assert (ex.stdout, ex.error and ex.error.name) == (stdout, error)
    if isinstance(source, bytes):
        (tmp_path / "a.py").write_bytes(source)
        plain = subprocess.run(
            [template._pool.key[2], "-X", "utf8", str(tmp_path / "a.py")], capture_output=True, text=True, encoding="utf-8"
        )
        assert (plain.stdout, plain.returncode) == (stdout, 1 if error else 0)


@core
@pytest.mark.parametrize("source", [b"print('\xd6\xd0')\n", b"print(1)\0", b"\xff\xfe", b"# coding: x-nothing\n"])
def test_json_is_always_an_object(tmp_path, source):
    import json

    (tmp_path / "a.py").write_bytes(source)
    done = subprocess.run([BELLJAR, "run", "--json", str(tmp_path / "a.py")], capture_output=True)
    answer = json.loads(done.stdout)
    assert (answer["verdict"], answer["exit"], done.returncode) == ("error", 1, 1)
    assert answer["error"]["name"] in ("SyntaxError", "ValueError")
    done = subprocess.run([BELLJAR, "run", "--json", str(tmp_path / "not there.py")], capture_output=True)
    assert (json.loads(done.stdout)["verdict"], done.returncode) == ("infra_error", 2)
    done = subprocess.run(
        [BELLJAR, "run", "--json", "-c", "import sys; sys.stdout.buffer.write(b'\\xff'); print('a\\udcfe')"], capture_output=True
    )
    assert json.loads(done.stdout)["verdict"] == "ok"


# ---- Memory ------------------------------------------------------------------------------------------------------

MEMORY = {
    "too large at once": ("bytearray(10 ** 12)", "memory", 137),
    "too large for any machine": ("bytearray(1 << 50)", "memory", 137),
    "little by little": ("l = []\nwhile True: l.append(bytearray(1 << 20))", "memory", 137),
    "raised": ("raise MemoryError", "error", 1),
    "raised with words": ("def f(): raise MemoryError('not really')\nf()", "error", 1),
    "raised again": ("try: bytearray(10 ** 12)\nexcept MemoryError as e: raise e", "memory", 137),
    "a callback": ("import ctypes; ctypes.CFUNCTYPE(ctypes.c_int)(lambda: 1)", "violation", 126),
    "memory after a callback": ("import ctypes\ntry: ctypes.CFUNCTYPE(ctypes.c_int)(lambda: 1)\nexcept MemoryError: pass\n"
                                "l = []\nwhile True: l.append(bytearray(1 << 20))", "memory", 137),
}  # fmt: skip


@core
@pytest.mark.parametrize("session", [False, True])
@pytest.mark.parametrize("name", MEMORY)
def test_the_memory_limit_is_blamed_for_what_it_did(short, name, session):
    code, verdict, status = MEMORY[name]
    if session:
        with Sandbox(template=short) as sandbox:
            ex = sandbox.run_code(code, timeout=20)
            rules = {violation.rule for violation in ex.violations}
    else:
        ex = short.run(code, timeout=20)
        rules = {violation.rule for violation in ex.violations}
    assert (ex.verdict, ex.exit) == (verdict, status), ex.error
    assert (verdict == "violation") == ("jit" in rules and verdict != "memory")


# ---- The script's own place --------------------------------------------------------------------------------------


@core
@pytest.mark.parametrize("how", ["project/main.py", "./project/../project/main.py", "link.py", "inside.py", "absolute"])
def test_a_script_finds_the_data_beside_it(tmp_path, how):
    tmp_path.chmod(0o755)
    project = tmp_path / "project"
    project.mkdir()
    (project / "data.csv").write_text("a,b\n")
    (project / "main.py").write_text(
        "import os.path as p; print(p.isabs(__file__), open(p.join(p.dirname(__file__), 'data.csv')).read())"
    )
    (tmp_path / "link.py").symlink_to("project/main.py")
    (project / "inside.py").symlink_to("main.py")
    folder = project if how == "inside.py" else tmp_path
    name = str(project / "main.py") if how == "absolute" else how
    done = subprocess.run([BELLJAR, "run", "--read", str(project), name], cwd=folder, capture_output=True, text=True)
    assert (done.stdout, done.returncode) == ("True a,b\n\n", 0), done.stderr


def test_a_script_that_is_not_granted_has_an_absolute_name_too(tmp_path):
    (tmp_path / "main.py").write_text("print(__file__); import sys; print(sys.argv[0])")
    done = subprocess.run([BELLJAR, "run", "main.py"], cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout == "/work/main.py\nmain.py\n"


# ---- Signals -----------------------------------------------------------------------------------------------------


@core
@pytest.mark.parametrize("code", ["import os, signal; os.kill(os.getpid(), {0})", "import signal; signal.raise_signal({0})"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL, signal.SIGUSR1, signal.SIGSEGV, signal.SIGHUP])
def test_a_signal_s_status_is_the_one_that_a_shell_shows(code, number):
    done = subprocess.run([BELLJAR, "run", "-c", code.format(int(number))], capture_output=True)
    plain = subprocess.run([sys.executable, "-c", code.format(int(number))], capture_output=True)
    assert done.returncode == 128 - plain.returncode
