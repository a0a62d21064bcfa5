"""Each limit: what stops at it, how the caller learns of it, and that what stays below it is left alone."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys
import threading
import time

import belljar
import looking
import pytest

core = pytest.mark.core
pytestmark = pytest.mark.alone


def run(code, **options):
    return belljar.run(code, belljar.Policy(**{"timeout": 10, **options}))


def is_about(value, wanted, below, above):
    assert wanted - below <= value <= wanted + above, value


# ---- Time --------------------------------------------------------------------------------------------------------

BUSY = [
    ("Python", "def spin():\n    n = 0\n    while True: n += 1\n\nspin()", 3, "spin"),
    ("a regex", "import re\ndef spin():\n    re.match('(a+)+$', 'a' * 60 + 'b')\n\nspin()", 3, "spin"),
    ("pow", "def spin():\n    return pow(3, 10**8, 10**9999 + 1) + 10**10**8\n\nspin()", 2, "spin"),
    ("sum", "x = range(10**12)\nsum(x)", 2, "<module>"),
    ("sleep", "import time\n\ntime.sleep(1000)", 3, "<module>"),
    ("a lock", "import threading\nlock = threading.Lock()\nlock.acquire()\nlock.acquire()", 4, "<module>"),
]


@core
@pytest.mark.parametrize(("name", "code", "line", "function"), BUSY, ids=[row[0] for row in BUSY])
def test_at_the_time_limit_the_traceback_names_the_users_line(name, code, line, function):
    execution = run(code, timeout=0.5)
    assert execution.verdict == "timeout"
    assert execution.error.name == "TimeoutError"
    assert "0.5 s" in execution.error.value
    assert f'File "<code>", line {line} in {function}' in execution.error.traceback
    assert execution.exit == 124


@core
def test_numpy_that_holds_the_interpreter_lock_is_named_as_well():
    pytest.importorskip("numpy")
    execution = run(
        "import numpy\na = numpy.ones(3_000_000, dtype=object)\nfor _ in range(10**6):\n    a.sum()", timeout=1.5, memory="1G"
    )
    assert execution.verdict == "timeout"
    assert 'File "<code>", line 4 in <module>' in execution.error.traceback


@core
def test_the_wall_time_is_kept_within_a_quarter_of_a_second():
    for seconds in (0.2, 1.0):
        start = time.monotonic()
        execution = run("while True: pass", timeout=seconds)
        is_about(time.monotonic() - start, seconds, 0.02, 0.6)
        is_about(execution.usage.wall_ms, seconds * 1000, 20, 250)


@core
def test_just_below_the_time_limit_it_ends_by_itself():
    assert run("import time; time.sleep(0.3)", timeout=2).verdict == "ok"


@core
def test_cpu_time_counts_all_threads_and_not_sleep():
    assert run("import time; time.sleep(0.6)", cpu=0.3).verdict == "ok"
    execution = run(
        "import threading\ndef f():\n    while True: pass\nfor _ in range(3): threading.Thread(target=f).start()\nf()", cpu=0.5
    )
    assert execution.verdict == "cpu"
    assert execution.exit == 124
    is_about(execution.usage.cpu_ms, 500, 50, 400)


def test_a_signal_of_somebody_elses_is_no_limit_on_cpu_time():
    """The kernel that wants memory back sends this one."""
    death = run("import os; os.kill(os.getpid(), 9)", cpu=5)
    assert (death.verdict, death.error.name) == ("crashed", "Crash"), death


def test_timeout_0_is_no_limit():
    assert run("import time; time.sleep(0.2)", timeout=0).verdict == "ok"


@core
def test_a_run_may_have_a_shorter_limit_than_the_policy():
    with belljar.Template(belljar.Policy(timeout=10)) as template:
        start = time.monotonic()
        assert template.run("while True: pass", timeout=0.3).verdict == "timeout"
        assert time.monotonic() - start < 2


@core
def test_output_before_the_limit_is_kept():
    execution = run(
        "import sys\nprint('before')\nsys.stdout.write('no newline')\nsys.stdout.flush()\nwhile True: pass", timeout=0.5
    )
    assert (execution.verdict, execution.stdout) == ("timeout", "before\nno newline")


# ---- Memory ------------------------------------------------------------------------------------------------------


@core
def test_memory_comes_as_memory_error_first_and_can_be_caught():
    execution = run(
        "try:\n  x = bytearray(200 << 20)\nexcept MemoryError:\n  print('caught')\ny = bytearray(20 << 20); print(len(y))",
        memory="128M",
    )
    assert (execution.verdict, execution.stdout) == ("ok", f"caught\n{20 << 20}\n")


@core
@pytest.mark.parametrize("code", ["bytearray(10**11)", "x = []\nwhile True: x.append(bytearray(1 << 20))",
                                  "x = []\nwhile True: x.append([len(x)])", "x = {}\nwhile True: x[len(x)] = str(len(x))"])  # fmt: skip
def test_memory_that_is_used_up_is_the_verdict_memory(code):
    start = time.monotonic()
    execution = run(code, memory="128M")
    assert execution.verdict == "memory"
    assert execution.error.name == "MemoryError"
    assert execution.exit == 137
    assert execution.usage.peak_bytes < 200 << 20
    assert time.monotonic() - start < 6


@core
def test_memory_below_the_limit_is_left_alone():
    execution = run("x = bytearray(64 << 20); x[::4096] = b'x' * len(x[::4096]); print(len(x))", memory="128M")
    assert execution.verdict == "ok"
    is_about(execution.usage.peak_bytes, 80 << 20, 20 << 20, 60 << 20)


@core
def test_memory_that_escapes_the_data_limit_is_ended():
    # Files mapped shared are no data of the process: scratch, and then resident memory, is what they count as.
    code = "import mmap\nf = open('m', 'w+b')\nf.truncate(60 << 20)\nm = mmap.mmap(f.fileno(), 60 << 20)\nfor i in range(0, len(m), 4096): m[i] = 1\nprint('all')"
    execution = run(code, memory="64M", scratch="8M")
    assert "all" not in execution.stdout
    assert execution.verdict in ("error", "violation", "memory", "crashed")


@core
def test_shared_memory_counts_as_memory():
    code = "import mmap\nx = []\nwhile True:\n  m = mmap.mmap(-1, 1 << 20)\n  m[::4096] = b'x' * 256\n  x.append(m)"
    execution = run(code, memory="128M")
    assert execution.verdict in ("memory", "error")  # Python's mmap says OSError: ENOMEM
    assert "memory" in execution.error.value or execution.error.name == "MemoryError"
    assert execution.usage.peak_bytes < 250 << 20


# Native code: what a guest may do with its memory at its worst.
NATIVE = """
import ctypes, mmap, os, sys, threading, time
libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
libc.memset.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t]
libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
NOWHERE = (None, 2**64 - 1)
def block(size, protection=3):
    return libc.mmap(None, size, protection, 0x22, -1, 0)
def read_only(total, piece=32 << 20, protection=1):
    for _ in range(total // piece):
        place = block(piece)
        if place in NOWHERE:
            return "no more"
        libc.memset(place, 1, piece)
        if libc.mprotect(place, piece, protection):
            return "not read-only"
    return "all"
"""


class Watch:
    """The most that guests had of memory and threads while it looked, from outside, in MiB."""

    def __enter__(self):
        self.memory = self.tables = self.threads = 0
        self._is_over = False
        self._thread = threading.Thread(target=self._look)
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._is_over = True
        self._thread.join()

    def _look(self):
        while not self._is_over:
            for pid in [child for supervisor in looking.supervisors() for child in looking.children(supervisor)]:
                try:  # the main thread of a guest may be gone: any other knows the same memory
                    found = [self._numbers(path) for path in pathlib.Path(f"/proc/{pid}/task").iterdir()]
                except OSError:
                    continue
                self.threads = max(self.threads, len(found))
                self.tables = max(self.tables, *(tables for _, tables in found))
                self.memory = max(self.memory, *(memory for memory, _ in found))
            time.sleep(0.005)

    @staticmethod
    def _numbers(path):
        text = (path / "status").read_text(errors="replace")
        rows = {key: int(value.split()[0]) >> 10 for key, _, value in (line.partition(":") for line in text.splitlines())
                if value.endswith("kB")}  # fmt: skip
        tables = rows.get("VmPTE", 0)
        return rows.get("RssAnon", 0) + rows.get("VmSwap", 0) + tables, tables


ESCAPES = [
    ("read-only pages", "print(read_only(1 << 30))"),
    ("pages without any right", "print(read_only(1 << 30, protection=0))"),
    ("small pieces", "print(read_only(1 << 30, piece=1 << 20))"),
    (
        "the main thread gone",
        "threading.Thread(target=lambda: (time.sleep(0.2), print(read_only(1 << 30), flush=True), os._exit(0))).start()\nlibc.syscall(60, 0)",
    ),
    (
        "page tables",
        "x = []\nfor _ in range(64):\n  m = mmap.mmap(-1, 1 << 30, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, mmap.PROT_READ); x.append(m)\n  for i in range(0, 1 << 30, 2 << 20): m[i]",
    ),
    (
        "page tables of a private file",
        "f = open('f', 'w+b'); f.truncate(4096)\nfor _ in range(70_000):\n  assert libc.mmap(None, 4096, 1, 2, f.fileno(), 0) not in NOWHERE",
    ),
]


@core
@pytest.mark.parametrize("code", [row[1] for row in ESCAPES], ids=[row[0] for row in ESCAPES])
def test_memory_that_no_limit_of_the_kernel_counts_is_counted(code):
    with Watch() as watch:
        execution = run(NATIVE + code, memory="128M", scratch="8M")
    assert execution.verdict in ("ok", "error", "memory", "violation")
    assert "all" not in execution.stdout
    assert watch.memory < 128 + 64, watch.memory
    assert watch.tables < 64


@core
def test_a_program_that_makes_memory_read_only_within_its_limit_may():
    execution = run(NATIVE + "print(read_only(64 << 20))\nprint(read_only(16 << 20, piece=4096))", memory="128M")
    assert (execution.verdict, execution.stdout) == ("ok", "all\nall\n")


@core
def test_what_is_made_read_only_is_taken_from_the_limit_of_memory():
    """In the main thread and in others, where the main one lowers the limit for them: it waits, computes, or sleeps meanwhile."""
    code = (
        "import resource\nlimit = lambda: resource.getrlimit(resource.RLIMIT_DATA)[1] >> 20\nsaid = [limit()]\n"
        "thread = lambda: threading.Thread(target=lambda: said.append(read_only(20 << 20, 5 << 20)))\n"
        "said += [read_only(20 << 20, 5 << 20), limit() < said[0] - 14]\n"
        "one = thread(); one.start(); one.join(); said.append(limit() < said[0] - 34)\n"
        "one = thread(); one.start()\nwhile one.is_alive(): sum(range(1000))\n"
        "one = thread(); one.start(); time.sleep(0.2); one.join()\n"
        "print(said[1:])\ntry: resource.setrlimit(resource.RLIMIT_DATA, (1 << 30, 1 << 30))\nexcept ValueError as why: print(why)"
    )
    execution = run(NATIVE + code, memory="256M")
    said, why = execution.stdout.splitlines()
    assert (execution.verdict, said) == ("ok", "['all', True, 'all', True, 'all', 'all']")
    assert why.startswith("not allowed to raise maximum limit: belljar: ")
    assert [(violation.op, violation.rule) for violation in execution.violations] == [("prlimit64", "limits")]  # the last line's


@core
def test_the_end_of_the_main_thread_alone_ends_a_guest_and_its_ordinary_end_does_not():
    gone = run(
        NATIVE
        + "threading.Thread(target=time.sleep, args=(5,)).start()\nthreading.Thread(target=lambda: [None for _ in iter(int, 1)]).start()\nlibc.syscall(60, 0)"
    )
    assert (gone.verdict, [violation.rule for violation in gone.violations]) == ("violation", ["threads"])
    assert "main thread" in gone.error.value and "main thread" in gone.violations[0].hint
    for code in (
        "exit(3)",
        "import os, threading, time\nfor _ in range(8): threading.Thread(target=time.sleep, args=(9,)).start()\nos._exit(3)",
    ):
        assert [run(code).exit for _ in range(5)] == [3] * 5


@core
@pytest.mark.parametrize("flags", [0x22, 0x4022], ids=["plain", "MAP_NORESERVE"])
def test_reserved_memory_is_not_used_memory(flags):
    code = f"place = libc.mmap(None, 8 << 30, 0, {flags}, -1, 0)\nassert place not in NOWHERE\nassert libc.mprotect(place, 1 << 20, 3) == 0\nlibc.memset(place, 1, 1 << 20)\nt = time.process_time() + 2.5\nwhile time.process_time() < t: pass\nprint('fine')"
    assert run(NATIVE + code, memory="128M", timeout=60).stdout == "fine\n"


@core
def test_a_program_that_reserves_all_and_uses_little_runs_to_its_end():
    # What is allocated and not touched is all that RLIMIT_DATA allows, and nothing of the machine.
    code = "x = []\nwhile (p := block(1 << 20)) not in NOWHERE: x.append(p)\nt = time.process_time() + 3\nwhile time.process_time() < t: pass\nprint(len(x) > 64)"
    execution = run(NATIVE + code, memory="128M", timeout=60)
    assert (execution.verdict, execution.stdout) == ("ok", "True\n")


REAL = [
    # For its first product of matrices OpenBLAS maps 128 MiB, of which it uses little.
    (
        "numpy",
        "import numpy; print((numpy.ones((300, 300)) @ numpy.ones((300, 300))).sum(), numpy.linalg.svd(numpy.eye(40))[1].sum())",
        "128M",
    ),
    (
        "numpy",
        "import numpy; a = numpy.random.default_rng(1).random((1000, 1000)); print(numpy.sort(a).sum(), numpy.fft.fft(a[0]).shape)",
        "128M",
    ),
    ("numpy", "import numpy; print((numpy.ones((2000, 2000)) @ numpy.ones((2000, 2000))).sum())", "512M"),
    (
        "pandas",
        "import pandas; f = pandas.DataFrame({'a': range(300_000)}); f['b'] = f.a % 7; print(f.groupby('b').a.sum().to_dict())",
        "512M",
    ),
    (
        "matplotlib",
        "import matplotlib; matplotlib.use('agg'); import matplotlib.pyplot as p; p.plot(range(1000)); p.savefig('x.png'); print('drawn')",
        "512M",
    ),
]


@core
@pytest.mark.parametrize(("module", "code", "memory"), REAL)
def test_real_programs_fit_into_the_default(module, code, memory):
    pytest.importorskip(module)
    execution = run(
        code + "\nt = __import__('time').process_time() + 2.2\nwhile __import__('time').process_time() < t: pass",
        memory=memory,
        timeout=60,
    )
    assert (execution.verdict, execution.error) == ("ok", None)


# ---- Output ------------------------------------------------------------------------------------------------------


@core
@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_output_over_the_limit_is_cut_in_the_middle_with_the_true_count(stream):
    execution = run(f"import sys\nsys.{stream}.write('a' * 50_000 + 'b' * 50_000)", output=1000)
    text = getattr(execution, stream)
    assert execution.verdict == "ok"
    assert execution.truncated
    assert text.startswith("a" * 400) and text.endswith("b" * 400)
    assert "100000 bytes" in text
    assert len(text) < 1200


@core
def test_output_at_the_limit_is_whole():
    execution = run("print('x' * 999)", output=1000)
    assert (execution.stdout, execution.truncated) == ("x" * 999 + "\n", False)


@core
def test_a_flood_of_output_is_ended():
    start = time.monotonic()
    execution = run("while True: print('x' * 100_000)", output=1000)
    assert execution.verdict == "output"
    assert execution.exit == 126
    assert execution.truncated
    assert time.monotonic() - start < 5
    assert len(execution.stdout) < 1200


@core
def test_a_flood_by_native_code_is_ended():
    execution = run("import os\nb = bytes(1 << 16)\nwhile True:\n  os.write(1, b); os.write(2, b)", output=1000)
    assert execution.verdict == "output"


# ---- Scratch -----------------------------------------------------------------------------------------------------


@core
def test_scratch_bytes_are_limited_for_all_its_places_together():
    code = """
import errno, os
done = 0
try:
    for place in ('/tmp/a', '/work/b', '/home/user/c', '/var/tmp/d', '/dev/shm/e'):
        with open(place, 'wb', 0) as file:
            for _ in range(3):
                done += file.write(bytes(1 << 20))
except OSError as problem:
    print(errno.errorcode[problem.errno])
print(done >> 20)
"""
    execution = run(code, scratch="8M")
    if execution.verdict == "ok":
        word, megabytes = execution.stdout.split()
        assert word in ("ENOSPC", "EDQUOT", "EFBIG")
        assert int(megabytes) <= 8
    else:  # on disk the supervisor looks every few milliseconds
        assert execution.verdict == "violation"
        assert any(violation.rule == "scratch" for violation in execution.violations)


@core
def test_scratch_below_the_limit_works_and_can_be_used_again():
    code = "import os\nfor n in range(10):\n  open('f', 'wb').write(bytes(5 << 20)); os.unlink('f')\nprint('fine')"
    assert run(code, scratch="8M").stdout == "fine\n"


@core
@pytest.mark.parametrize("make", ["open(f'n{n}', 'w').close()", "os.mkdir(f'n{n}')", "os.symlink('x', f'n{n}')"])
def test_scratch_files_are_limited(make):
    execution = run(
        f"import os\nn = 0\ntry:\n  while n < 10_000:\n    {make}; n += 1\nexcept OSError as e: print(e.errno)\nprint(n)",
        scratch_files=100,
    )
    number, count = map(int, execution.stdout.split())
    assert number in (28, 122)
    assert count == 100


# ---- Descriptors, threads, processes -------------------------------------------------------------------------------


@core
def test_descriptors_are_limited():
    execution = run(
        "import os\nx = []\ntry:\n  while True: x.append(os.dup(1))\nexcept OSError as e: print(e.errno)\nprint(len(x))",
        descriptors=64,
    )
    assert execution.stdout.split() == ["24", "59"]


@core
def test_opened_files_count_as_descriptors_and_can_be_used_again():
    code = "import os\nfor _ in range(1000):\n  f = open('f', 'w'); f.close()\nprint('fine')"
    assert run(code, descriptors=32).stdout == "fine\n"


THREADS = "import threading\nstop = threading.Event(); n = 0\ntry:\n  while n < 500:\n    threading.Thread(target=stop.wait, daemon=True).start(); n += 1\nexcept RuntimeError as e: print(e)\nprint(n); stop.set()"


@core
def test_threads_end_in_a_runtime_error_at_the_limit():
    execution = run(THREADS, threads=8)
    assert execution.verdict == "ok"
    message, count = execution.stdout.splitlines()
    assert int(count) == 8
    assert "thread" in message


@core
def test_threads_that_end_make_room():
    execution = run(
        "import threading\nfor _ in range(100):\n  t = threading.Thread(target=int); t.start(); t.join()\nprint('fine')", threads=2
    )
    assert execution.stdout == "fine\n"


@core
def test_threads_0_means_none():
    assert run(THREADS, threads=0).stdout.splitlines()[-1] == "0"


# pthread_create by ctypes: nothing in Python counts these. The thread runs libc's own pause-like sleep.
NATIVE_BOMB = """
import ctypes, time
libc = ctypes.CDLL(None)
n = 0
while n < 2000:
    t = ctypes.c_ulong()
    if libc.pthread_create(ctypes.byref(t), None, libc.sleep, ctypes.c_void_p(100)) != 0:
        break
    n += 1
print(n, flush=True)
time.sleep(5)
print('still here')
"""


@core
def test_a_native_thread_bomb_is_ended():
    start = time.monotonic()
    execution = run(NATIVE_BOMB, threads=8, memory="1G")
    assert execution.verdict == "violation"
    assert "still here" not in execution.stdout
    assert time.monotonic() - start < 3
    assert run("6*7", threads=8, memory="1G").text == "42"


@core
def test_a_bomb_of_threads_does_not_wait_for_a_tick():
    with Watch() as watch:
        execution = run(NATIVE_BOMB, threads=8, memory="1G")
    assert execution.verdict == "violation" and "threads" in execution.error.value
    assert watch.threads <= 2 * 8 + 10


@core
def test_pools_of_threads_one_after_the_other_are_no_bomb():
    code = "from concurrent.futures import ThreadPoolExecutor as P\nfor _ in range(60):\n  with P(8) as p: assert len(list(p.map(abs, range(200)))) == 200\nprint('fine')"
    assert run(code, threads=8, timeout=60).stdout == "fine\n"


@core
def test_processes_are_none():
    execution = run("import os\ntry: os.fork()\nexcept PermissionError as e: print(e)")
    assert "processes" in execution.stdout and "remedy" in execution.stdout
    assert [violation.rule for violation in execution.violations] == ["processes"]


# ---- Limits that a program sets itself, and usage ------------------------------------------------------------------


@core
def test_a_program_sees_its_limits_and_does_not_raise_them():
    code = """
import resource
print(resource.getrlimit(resource.RLIMIT_NOFILE), resource.getrlimit(resource.RLIMIT_CORE))
for name, value in ((resource.RLIMIT_NOFILE, 65), (resource.RLIMIT_DATA, 1 << 40), (resource.RLIMIT_CORE, 1)):
    try:
        resource.setrlimit(name, (value, value))
        print('raised', name)
    except (ValueError, OSError):
        pass
print(resource.getrlimit(resource.RLIMIT_NOFILE))
"""
    assert run(code, descriptors=64).stdout == "(64, 64) (0, 0)\n(64, 64)\n"


@core
def test_usage_is_plausible():
    lazy = run("import time; time.sleep(0.4)").usage
    busy = run("import time\nend = time.process_time() + 0.4\nwhile time.process_time() < end: pass").usage
    big = run("x = bytearray(100 << 20); x[::4096] = b'x' * len(x[::4096])").usage
    calls = run("import os\nfor _ in range(1000): os.path.exists('/none')").usage
    is_about(lazy.wall_ms, 400, 5, 300)
    assert lazy.cpu_ms < 200 < busy.cpu_ms < 1000
    is_about(busy.cpu_ms, 400, 50, 300)
    assert big.peak_bytes > 100 << 20 > lazy.peak_bytes
    assert 1000 <= calls.served < 1500
    assert lazy.served < 200


def test_peak_bytes_is_of_a_guests_whole_life_and_of_a_sessions_run_what_it_ended_with():
    """The docstring of Usage says so."""
    code = "x = bytearray(100 << 20); x[::4096] = b'x' * len(x[::4096]); del x"
    assert run(code).usage.peak_bytes > 100 << 20
    with belljar.Sandbox() as sandbox:
        assert sandbox.run_code(code).usage.peak_bytes < 100 << 20
        assert sandbox.run_code(code.replace("; del x", "")).usage.peak_bytes > 100 << 20


@core
def test_usage_of_a_killed_run_is_known():
    usage = run("x = bytearray(50 << 20)\nx[::4096] = b'x' * len(x[::4096])\nwhile True: pass", timeout=0.5).usage
    is_about(usage.wall_ms, 500, 20, 300)
    assert usage.cpu_ms > 100
    assert usage.peak_bytes > 50 << 20


@core
def test_a_limit_that_was_met_leaves_no_process():
    with belljar.Template(belljar.Policy(timeout=0.3)) as template:
        (supervisor,) = looking.supervisors()[-1:]
        for _ in range(3):
            template.run("while True: pass").usage  # noqa: B018
        assert looking.wait_until(lambda: len(looking.children(supervisor)) <= 3, 1)


# ---- A guest that cannot be made -------------------------------------------------------------------------------------


def in_a_process(code, tmp_path):
    """Limits of a process are for a process of its own. What it prints, as JSON."""
    script = tmp_path / "script.py"
    script.write_text("import json, os, resource, signal, sys, threading, time, pathlib\nimport belljar\n" + code)
    done = subprocess.run(
        [sys.executable, script],
        capture_output=True,
        text=True,
        timeout=200,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


MANY = """
def survivors(sessions):
    return [session["x"] for session in sessions]

def fill(template, most):
    sessions, said = [], ""
    try:
        while len(sessions) < most:
            session = belljar.Sandbox(template=template)
            session.run_code(f"x = {len(sessions)}")
            sessions.append(session)
    except belljar.SandboxError as error:
        said = str(error)
    return sessions, said
"""


@core
def test_where_descriptors_run_out_one_session_is_refused_and_the_others_live(tmp_path):
    found = in_a_process(MANY + """
resource.setrlimit(resource.RLIMIT_NOFILE, (512, 512))
with belljar.Template(belljar.Policy(timeout=20)) as template:
    sessions, said = fill(template, 200)
    count = len(sessions)
    seen = survivors(sessions)
    imported = sessions[0].run_code("import json, decimal, email; 5").value  # the supervisor can still open files
    try:
        sessions[1].fork(100)
        forked = "forked"
    except belljar.SandboxError as error:
        forked = str(error)
    seen += survivors(sessions)
    for session in sessions[count // 2:]:
        session.close()
    time.sleep(0.3)
    again, _ = fill(template, count // 4)
    print(json.dumps([count, said, seen == 2 * list(range(count)), imported, forked, len(again) == count // 4]))
""", tmp_path)  # fmt: skip
    count, said, lived, imported, forked, again = found
    assert "ulimit -n" in forked or "user namespaces" in forked
    assert 60 <= count < 120  # seven each, besides those of the grants
    assert "512" in said and "ulimit -n" in said
    assert (lived, imported, again) == (True, 5, True)


def test_an_event_loop_that_asks_for_one_guest_too_many_hears_of_it(tmp_path):
    found = in_a_process("""
import asyncio
resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))

async def main():
    with belljar.Template(belljar.Policy(timeout=20)) as template:
        sessions, said = [], ""
        try:
            while len(sessions) < 200:
                session = belljar.AsyncSandbox(template=template)
                await session.run_code(f"x = {len(sessions)}")
                sessions.append(session)
        except belljar.SandboxError as error:
            said = str(error)
        seen = [(await session.run_code("x")).value for session in sessions]
        for session in sessions[3:]:
            await session.close()
        await asyncio.sleep(0.3)
        session = belljar.AsyncSandbox(template=template)
        return [said, seen == list(range(len(sessions))), (await session.run_code("5")).value]

print(json.dumps(asyncio.run(asyncio.wait_for(main(), 100))))
""", tmp_path)  # fmt: skip
    assert "ulimit -n" in found[0]
    assert found[1:] == [True, 5]


@core
@pytest.mark.skipif(os.geteuid() == 0, reason="of root the kernel does not count descriptors on their way")
def test_too_many_parked_guests_of_one_user_are_told_by_their_name(tmp_path):
    found = in_a_process("""
import contextlib
resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))
said = ""
with contextlib.ExitStack() as stack:
    templates = []
    while not said and len(templates) < 30:  # each parks as many as there is room for
        template = stack.enter_context(belljar.Template(belljar.Policy(timeout=20), parked=20))
        try:
            template.run("1")
            templates.append(template)
        except belljar.SandboxError as error:
            said = str(error)
    print(json.dumps([said, [template.run("6").verdict for template in templates]]))
""", tmp_path)  # fmt: skip
    assert "256 files" in found[0]
    assert "parked=" in found[0] and "ulimit -n" in found[0]
    assert found[1] and set(found[1]) == {"ok"}


@core
def test_a_host_without_descriptors_loses_one_guest_only(tmp_path):
    found = in_a_process(MANY + """
with belljar.Template(belljar.Policy(timeout=20)) as template:
    sessions, _ = fill(template, 3)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    used = max(map(int, os.listdir("/proc/self/fd")))
    resource.setrlimit(resource.RLIMIT_NOFILE, (used + 3, hard))
    more, said = fill(template, 20)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    again, _ = fill(template, 3)
    print(json.dumps([said, survivors(sessions), len(again)]))
""", tmp_path)  # fmt: skip
    assert "ulimit -n" in found[0]
    assert found[1:] == [[0, 1, 2], 3]


@pytest.mark.skipif(os.geteuid() != 0, reason="needs a user of its own, so root")
def test_where_processes_run_out_one_session_is_refused_and_the_others_live(tmp_path):
    found = in_a_process(MANY + """
resource.setrlimit(resource.RLIMIT_NPROC, (24, 24))
with belljar.Template(belljar.Policy(timeout=20, user=61234)) as template:
    sessions, said = fill(template, 60)
    seen = survivors(sessions)
    try:
        sessions[0].fork()
        forked = "forked"
    except belljar.SandboxError as error:
        forked = str(error)
    after = survivors(sessions)
    for session in sessions[4:]:
        session.close()
    time.sleep(0.3)
    again, _ = fill(template, 3)
    print(json.dumps([len(sessions), said, seen == list(range(len(sessions))), forked, after == seen, len(again)]))
""", tmp_path)  # fmt: skip
    count, said, lived, forked, after, again = found
    assert 4 < count < 24
    assert "ulimit -u" in said
    assert "ulimit -u" in forked or "user namespaces" in forked
    assert (lived, after, again) == (True, True, 3)


@core
def test_a_newborn_that_is_killed_fails_one_request_only(tmp_path):
    found = in_a_process(MANY + """
def children(pid):
    return set(map(int, pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))

with belljar.Template(belljar.Policy(timeout=20), parked=1) as template:
    sessions, _ = fill(template, 3)
    time.sleep(0.3)
    supervisor = next(child for child in children(os.getpid()) if children(child))
    known, killing, killed = children(supervisor), True, 0

    def kill():
        global killed
        while killing:
            for child in children(supervisor) - known:
                try:
                    os.kill(child, signal.SIGKILL)
                    killed += 1
                except ProcessLookupError:
                    pass

    killer = threading.Thread(target=kill)
    killer.start()
    said = set()
    for _ in range(20):
        try:
            belljar.Sandbox(template=template).close()
        except belljar.SandboxError as error:
            said.add(str(error))
    killing = False
    killer.join()
    again, _ = fill(template, 3)
    if not again:  # a parked one was among the killed: the run that got it heard of it
        again, _ = fill(template, 3)
    time.sleep(1)
    zombies = [child for child in children(supervisor) if ") Z " in pathlib.Path(f"/proc/{child}/stat").read_text()]
    print(json.dumps([killed, sorted(said), survivors(sessions), len(again) > 0, zombies]))
""", tmp_path)  # fmt: skip
    killed, said, lived, again, zombies = found
    assert killed > 0
    assert all("killed before it was locked down" in text for text in said), said
    assert (lived, again, zombies) == ([0, 1, 2], True, [])


@core
def test_too_few_descriptors_are_named(tmp_path):
    said = in_a_process(
        "resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))\ntry: said = belljar.run('1').verdict\nexcept belljar.SandboxError as error: said = str(error)\nprint(json.dumps(said))",
        tmp_path,
    )
    assert "64" in said and "96" in said and "ulimit -n" in said
