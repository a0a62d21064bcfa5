"""Sessions: state, variables, calls, branches, interrupts, and what the next call says when one is over."""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import gc
import os
import sys
import threading
import time
import weakref

import pytest

import belljar
import looking
from belljar import _copying as copying
from belljar._copying import copies
from belljar import GuestError, Opaque, Policy, Record, Sandbox, SandboxError, SessionEnded, Template

core = pytest.mark.core
PYTHON = "/usr/bin/python3"


@pytest.fixture(scope="module")
def template():
    with Template(Policy(timeout=10, memory="256M"), python=PYTHON) as template:
        yield template


@pytest.fixture
def sandbox(template):
    with Sandbox(template=template) as sandbox:
        yield sandbox


# ---- Variables ---------------------------------------------------------------------------------------------------

VALUES = [
    None, True, 0, -1, 2**200, 1.5, float("inf"), 1j, "text", "\ud800", b"bytes", [1, [2]], (1, (2,)), {"a": 1, (1, 2): 3},
    {1, 2}, frozenset({3}), datetime.date(2024, 2, 29), datetime.datetime(2024, 1, 1, tzinfo=datetime.timezone.utc),
    datetime.timedelta(1, 2, 3), decimal.Decimal("1.10"), range(3), slice(1, None, 2),
]  # fmt: skip


@core
@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_a_variable_comes_back_as_it_was_set(sandbox, value):
    sandbox["value"] = value
    assert sandbox["value"] == value
    assert type(sandbox["value"]) is type(value)


def test_variables_have_the_verbs_of_a_mapping(sandbox):
    sandbox.variables.update(one=1, two=[2])
    assert sandbox.variables["two"] == sandbox["two"] == [2] and "one" in sandbox.variables and "none" not in sandbox.variables
    assert sandbox.variables.pop("one") == 1 and sandbox.variables.get("one", "gone") == "gone"
    assert dict(sandbox.variables)["two"] == [2] and len(sandbox.variables) == len(list(sandbox))
    del sandbox.variables["two"]
    with pytest.raises(KeyError):
        sandbox.variables["two"]


@core
def test_variables_are_a_mapping_of_the_public_names(sandbox):
    sandbox.run_code("one = 1; _hidden = 2")
    sandbox["two"] = 2
    assert sorted(sandbox) == ["one", "two"]
    assert "one" in sandbox and "three" not in sandbox and 5 not in sandbox
    assert sandbox["_hidden"] == 2
    del sandbox["one"]
    assert "one" not in sandbox
    with pytest.raises(KeyError, match="one"):
        sandbox["one"]
    with pytest.raises(KeyError, match="one"):
        del sandbox["one"]


def test_a_name_that_code_cannot_use_is_refused_here(sandbox):
    for name in ("a b", "", "1", 3):
        with pytest.raises(ValueError, match="not a name"):
            sandbox[name] = 1


def test_what_cannot_go_in_is_a_type_error_here(sandbox):
    with pytest.raises(TypeError):
        sandbox["x"] = object()
    assert sandbox.run_code("1").value == 1


def test_runs_are_counted(sandbox):
    assert [sandbox.run_code("1").execution_count for _ in range(3)] == [1, 2, 3]
    sandbox["x"] = 1  # no run of code
    assert sandbox.run_code("x").execution_count == 4
    assert belljar.run("1").execution_count is None


def test_a_result_is_asked_for_its_repr_once(sandbox):
    shown = sandbox.run_code(
        "count = []\nclass Counted(int):\n  def __repr__(self):\n    count.append(1)\n    return 'shown'\nCounted()"
    )
    assert shown.text == shown.results[0].text == "shown"
    assert sandbox["count"] == [1]


def test_what_cannot_come_out_is_described_and_the_rest_comes(sandbox):
    sandbox.run_code("class Point:\n  def __repr__(self): return 'here'\nx = [1, Point(), len]")
    one, point, function = sandbox["x"]
    assert one == 1
    assert type(point) is Opaque and (point.type_name, point.repr) == ("Point", "here")
    assert type(function) is Opaque


def test_classes_of_the_sandbox_arrive_as_records_and_go_back_as_such(sandbox):
    sandbox.run_code("import dataclasses\n@dataclasses.dataclass\nclass P:\n  x: int\n  y: int\np = P(1, 2)")
    assert sandbox["p"] == Record("P", {"x": 1, "y": 2})
    sandbox["q"] = sandbox["p"]
    assert sandbox.run_code("q.x + q['y'], type(q).__name__, repr(q)").value == (3, "Record", "P(x=1, y=2)")


def test_a_dataclass_of_the_host_goes_by_value(sandbox):
    @dataclasses.dataclass
    class Order:
        amount: int

    sandbox["order"] = Order(5)
    assert sandbox.run_code("order.amount").value == 5


def test_arrays_cross_by_value(sandbox):
    numpy = pytest.importorskip("numpy")
    sandbox["a"] = numpy.arange(6, dtype="i4").reshape(2, 3)
    assert sandbox.run_code("a.sum(), a.shape, a.dtype.name").value == (15, (2, 3), "int32")
    assert sandbox["a"].tolist() == [[0, 1, 2], [3, 4, 5]]


def test_a_value_that_is_too_large_is_one_error_and_the_session_stays(sandbox):
    sandbox.run_code("big = [0] * 10_000_000")
    with pytest.raises(GuestError, match="too large"):
        sandbox["big"]
    assert sandbox.run_code("len(big)").value == 10_000_000


def test_the_limits_hold_for_variables_too(template):
    with Template(Policy(timeout=0.5), python=PYTHON) as short, Sandbox(template=short) as sandbox:
        sandbox.run_code("class Slow:\n  def __repr__(self):\n    while True: pass\nx = Slow()")
        with pytest.raises(TimeoutError) as caught:
            sandbox["x"]
        assert isinstance(caught.value, GuestError)
        assert sandbox.run_code("type(x).__name__").value == "Slow"  # interrupted, and kept


# ---- Calls -------------------------------------------------------------------------------------------------------


def helper(n):
    return n + 1


def uses_helper(n):
    return helper(n) * 2


class TestCall:
    def test_calls_a_function_with_what_it_refers_to(self, sandbox):
        offset = 10
        assert sandbox.call(lambda a, *, b: a + b + offset, 1, b=2) == 13
        assert sandbox.call(uses_helper, 4) == 10

    def test_runs_in_the_sandbox_and_not_here(self, sandbox):
        assert sandbox.call(os.getpid) != os.getpid()

    def test_the_result_is_a_copy(self, sandbox):
        assert type(sandbox.call(lambda: len)) is Opaque

    def test_raises_what_the_function_raised(self, sandbox):
        with pytest.raises(ZeroDivisionError, match="division by zero") as caught:
            sandbox.call(lambda: 1 / 0)
        assert isinstance(caught.value, GuestError)
        assert caught.value.name == "ZeroDivisionError" and "1 / 0" not in str(caught.value)

    def test_an_exception_that_stops_programs_does_not_stop_this_one(self, sandbox):
        def stop():
            raise KeyboardInterrupt

        with pytest.raises(GuestError):
            sandbox.call(stop)
        with pytest.raises(GuestError):
            sandbox.call(exit, 3)
        assert sandbox.run_code("1").value == 1

    def test_a_class_that_is_called_like_a_builtin_exception_is_data(self, sandbox):
        def fake():
            raise type("StopIteration", (Exception,), {})("x")

        with pytest.raises(GuestError) as caught:
            sandbox.call(fake)
        assert not isinstance(caught.value, StopIteration)

    def test_works_without_files(self):
        with Sandbox(Policy(profile="compute", preload=["pickle"]), python=PYTHON) as sandbox:
            assert sandbox.call(lambda x: x + 1, 1) == 2


class TestExecute:
    def test_uses_the_session_without_globals(self, sandbox):
        assert sandbox.execute("x = 5; print(x)").stdout == "5\n"
        assert sandbox["x"] == 5

    def test_the_dictionaries_have_what_the_code_made_of_them(self, sandbox):
        names, inner = {"x": 1}, {"y": 2}
        sandbox.execute("global x; x = 3; y += 1; z = x + y", names, inner)
        assert names == {"x": 3} and inner == {"y": 3, "z": 6}
        assert "z" not in sandbox

    def test_raises_what_the_code_raised(self, sandbox):
        with pytest.raises(NameError, match="nothing"):
            sandbox.execute("nothing")
        with pytest.raises(SyntaxError):
            sandbox.execute("1 +")


# ---- Branches ----------------------------------------------------------------------------------------------------

# A thread that keeps the interpreter's lock and clones whenever it is let; the children make no call.
CLONES = """
import ctypes, os, threading, time
def clones():
    time.sleep(0.4)
    call, made, end = ctypes.PyDLL(None).syscall, 0, time.monotonic() + 6
    while made < COUNT and time.monotonic() < end:
        pid = call(ctypes.c_long(56), ctypes.c_ulong(0x01208011), 0, 0, 0, 0)
        if pid == 0:
            while True: pass
        made += pid > 0
    REST
__import__("sys").setswitchinterval(1000)
threading.Thread(target=clones, daemon=True).start()
"""


def forks(sandbox):
    try:
        return sandbox.fork()
    except SandboxError as error:
        if "user namespaces" in str(error):
            pytest.skip("a session is forked only where there are user namespaces")
        raise


class TestFork:
    def test_both_sides_go_on_from_the_same_state(self, sandbox):
        sandbox.run_code("x = [1]; f = lambda: x")
        with forks(sandbox) as twin:
            twin.run_code("x.append(2)")
            sandbox.run_code("x.append(3)")
            assert twin.run_code("f()").value == [1, 2]
            assert sandbox.run_code("f()").value == [1, 3]

    def test_a_branch_makes_nothing_that_it_does_not_need(self, sandbox):
        """Each page that it touches is copied for it, while its owner waits: none of our modules is loaded there."""
        sandbox.run_code(
            "import sys\nseen = []\ndef hook(event, args, seen=seen):\n"
            "    if event in ('marshal.loads', 'compile', 'import'): seen.append((event, str(args[1:])))\n"
            "sys.addaudithook(hook)"
        )
        with forks(sandbox) as twin:
            found = twin.run_code("seen").value
        assert [event for event, args in found if event != "compile" or "<host>" in args or "<belljar>" in args] == []

    def test_a_branch_has_the_loop_of_a_session_that_awaited(self, sandbox):
        sandbox.run_code("import asyncio\ntask = asyncio.create_task(asyncio.sleep(0.01, 'done'))\nawait asyncio.sleep(0)")
        with forks(sandbox) as twin:
            assert twin.run_code("await task").value == "done" == sandbox.run_code("await task").value

    def test_of_a_session_that_has_not_run(self, template):
        with Sandbox(template=template, files={"a.txt": "here"}) as sandbox, forks(sandbox) as twin:
            assert twin.run_code("open('a.txt').read()").value == "here"

    def test_many_and_of_branches(self, sandbox):
        forks(sandbox).close()
        sandbox["x"] = 0
        twins = sandbox.fork(3)
        for n, twin in enumerate(twins):
            twin["x"] = n + 1
        again = twins[2].fork()
        assert [sandbox["x"], *[twin["x"] for twin in twins], again["x"]] == [0, 1, 2, 3, 3]
        for twin in (*twins, again):
            twin.close()

    def test_the_files_are_copied_and_no_link_is_followed(self, sandbox, tmp_path):
        (tmp_path / "secret").write_text("secret")
        sandbox["secret"] = str(tmp_path / "secret")
        sandbox.run_code(
            "import os\nos.makedirs('d/e')\nopen('d/e/f', 'wb').write(bytes(range(256)) * 1000)\nopen('empty', 'w').close()\n"
            "os.symlink(secret, 'link'); os.symlink('d', 'to_d'); os.chmod('empty', 0o640); open('/tmp/t', 'w').write('t')"
        )
        with forks(sandbox) as twin:
            assert twin.run_code("open('d/e/f', 'rb').read() == bytes(range(256)) * 1000, os.readlink('link'), "
                                 "os.listdir('to_d'), oct(os.stat('empty').st_mode), open('/tmp/t').read()"
                                 ).value == (True, str(tmp_path / "secret"), ["e"], "0o100640", "t")  # fmt: skip
            assert "link" not in twin.files
            twin.run_code("os.remove('d/e/f'); open('new', 'w').close()")
            assert "d/e/f" in sandbox.files and "new" not in sandbox.files

    def test_a_link_in_the_place_of_a_file_is_not_read(self, tmp_path):
        (tmp_path / "secret").write_text("secret")
        (tmp_path / "scratch" / "work").mkdir(parents=True)
        (tmp_path / "scratch" / "work" / "link").symlink_to(tmp_path / "secret")
        (tmp_path / "scratch" / "tmp").symlink_to(tmp_path)
        fd = os.open(tmp_path / "scratch", os.O_RDONLY)
        try:
            assert [entry[:3] for batch in copies(fd, "1M") for entry in batch] == [
                ["link", "/work/link", str(tmp_path / "secret")]
            ]
            with pytest.raises(OSError):
                list(copying._read("tmp", fd, "/tmp"))
        finally:
            os.close(fd)

    def test_a_file_that_says_it_is_huge_is_not_read_for_ever(self, template):
        with Template(Policy(timeout=10, scratch="1M"), python=PYTHON) as small, Sandbox(template=small) as sandbox:
            ex = sandbox.run_code("for n in range(8):\n  with open(str(n), 'wb') as f: f.truncate(1000000)")
            if ex.error is not None:
                pytest.skip("no sparse files here")
            with pytest.raises(SandboxError, match="larger than its scratch"):
                forks(sandbox).close()
            assert sandbox.run_code("1").value == 1

    def test_one_side_ends_and_the_other_does_not(self, sandbox):
        with forks(sandbox) as twin:
            assert twin.run_code("import os; os._exit(3)").verdict == "error"
            assert sandbox.run_code("5").value == 5

    def test_each_has_its_limits(self):
        with Sandbox(Policy(timeout=0.7), python=PYTHON) as sandbox:
            sandbox.run_code("import time; time.sleep(0.5)")
            with forks(sandbox) as twin:
                assert twin.run_code("time.sleep(0.5); 1").value == 1
                assert twin.run_code("while True: pass").verdict == "timeout"
                assert sandbox.run_code("time.sleep(0.5); 2").value == 2

    def test_one_that_is_refused_leaves_the_session_as_it_was(self, sandbox):
        sandbox["x"] = 41
        try:
            sandbox.fork().close()
        except SandboxError as error:
            assert "user namespaces" in str(error)
        assert sandbox.run_code("x + 1").value == 42
        assert sandbox.run_code("import time; time.sleep(0.1); x").value == 41

    def test_is_one_process_however_the_sandbox_is_asked(self, template):
        with Sandbox(template=template) as sandbox:
            forks(sandbox).close()
        (supervisor,) = looking.supervisors()[-1:]
        before = len(looking.settled(supervisor))
        for count, rest in ((12, "pass"), (1, "pass"), (1, "os._exit(0)"), (12, "os._exit(0)")):
            with Sandbox(template=template) as sandbox:
                sandbox.run_code(CLONES.replace("COUNT", str(count)).replace("REST", rest))
                time.sleep(0.6)
                try:
                    sandbox.fork().close()
                except SandboxError:
                    pass
            assert looking.wait_until(lambda: len(looking.living(supervisor)) <= before, 15), looking.children(supervisor)
            assert looking.wait_until(lambda: not looking.zombies(supervisor), 5)

    def test_not_while_code_runs(self, sandbox):
        sandbox.expose(lambda: sandbox.fork(), "fork")
        assert "waits" in sandbox.run_code("fork()").error.value


# ---- Limits between two runs ---------------------------------------------------------------------------------------

LEFT_BEHIND = [
    ("threads", "import ctypes, threading, time\nlibc = ctypes.CDLL(None)\ndef f():\n  time.sleep(0.3)\n  for _ in range(200):\n    t = ctypes.c_ulong(); libc.pthread_create(ctypes.byref(t), None, libc.sleep, ctypes.c_void_p(100))\n"
                "threading.Thread(target=f, daemon=True).start()", dict(threads=4, memory="4G"), "violation"),
    ("cpu", "import threading\ndef f():\n  while True: pass\nfor _ in range(2): threading.Thread(target=f, daemon=True).start()", dict(cpu=0.5), "cpu"),
]  # fmt: skip


def threads_of(pid):
    try:
        return int(looking.status(pid)["Threads"])
    except OSError:
        return 0


@core
@pytest.mark.parametrize(("code", "limits", "verdict"), [row[1:] for row in LEFT_BEHIND], ids=[row[0] for row in LEFT_BEHIND])
@pytest.mark.parametrize("first", ["1", "__import__('time').sleep(0.1)"], ids=["short", "long"])
def test_what_a_run_leaves_behind_has_its_limits(code, limits, verdict, first):
    with Sandbox(Policy(timeout=10, **limits), python=PYTHON) as sandbox:
        sandbox.run_code(first)
        assert sandbox.run_code(code).verdict == "ok"
        assert looking.wait_until(
            lambda: all(threads_of(pid) < 2 for supervisor in looking.supervisors() for pid in looking.living(supervisor)), 15
        )
        time.sleep(0.3)  # one that is just dying takes the next run along, which has the verdict then
        for _ in range(2):
            with pytest.raises(SessionEnded, match=f"between two runs: {verdict}"):
                sandbox.run_code("2")


@core
def test_memory_is_limited_between_two_runs():
    code = """
import ctypes, threading, time
libc = ctypes.CDLL(None)
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
libc.memset.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t]
libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
def f():
    time.sleep(0.3)
    for _ in range(64):
        place = libc.mmap(None, 16 << 20, 3, 0x22, -1, 0)
        if place in (None, 2**64 - 1): break
        libc.memset(place, 1, 16 << 20)
        libc.mprotect(place, 16 << 20, 1)
threading.Thread(target=f, daemon=True).start()
"""
    with Sandbox(Policy(timeout=10, memory="128M"), python=PYTHON) as sandbox:
        sandbox.run_code(code)
        most, end = 0, time.monotonic() + 20
        ended = time.monotonic() + 2
        while time.monotonic() < (ended if most > 64 else end):
            for pid in [child for supervisor in looking.supervisors() for child in looking.children(supervisor)]:
                try:
                    most = max(most, int(looking.status(pid)["RssAnon"].split()[0]) >> 10)
                except (OSError, KeyError):
                    pass
        assert 64 < most < 128 + 64


@core
def test_many_short_runs_have_each_their_cpu_limit():
    with Sandbox(Policy(timeout=10, cpu=0.2), python=PYTHON) as sandbox:
        end = time.monotonic() + 3
        while time.monotonic() < end:
            assert sandbox.run_code("sum(range(10_000))").verdict == "ok"


@core
def test_a_thread_that_is_left_behind_and_does_little_is_left_alone():
    code = "import threading, time\ndef f():\n  while True: time.sleep(0.05)\nthreading.Thread(target=f, daemon=True).start()"
    with Sandbox(Policy(timeout=1, cpu=1, threads=2), python=PYTHON) as sandbox:
        sandbox.run_code(code)
        time.sleep(2)
        assert sandbox.run_code("7").value == 7


# ---- Interrupts and ends -----------------------------------------------------------------------------------------


@core
def test_an_interrupt_stops_the_code_and_keeps_the_session(sandbox):
    sandbox.run_code("x = 5")
    threading.Timer(0.3, sandbox.interrupt).start()
    started = time.monotonic()
    ex = sandbox.run_code("while True: pass")
    assert ex.error.name == "KeyboardInterrupt" and time.monotonic() - started < 5
    assert sandbox["x"] == 5


def test_an_interrupt_stops_code_that_waits_for_its_host(sandbox):
    done = threading.Event()
    sandbox.expose(lambda: done.wait(1) and None, "wait")
    threading.Timer(0.3, sandbox.interrupt).start()
    ex = sandbox.run_code("try:\n  wait()\nexcept KeyboardInterrupt:\n  x = 'interrupted'\nx")
    assert ex.value == "interrupted"
    sandbox.expose(lambda: 7, "seven")
    assert sandbox.run_code("seven()").value == 7  # the late answer is nobody's


ENDS = [
    ("import os; os.abort()", "crashed"),
    ("import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)\nwhile True: pass", "timeout"),
    ("import os; os._exit(3)", "error"),
    ("import ctypes; ctypes.string_at(0)", "crashed"),
]


@core
@pytest.mark.parametrize(("code", "verdict"), ENDS)
def test_a_session_that_is_over_says_why_and_stays_over(code, verdict):
    with Sandbox(Policy(timeout=0.5), python=PYTHON) as sandbox:
        sandbox["x"] = 1
        last = sandbox.run_code(code)
        assert last.verdict == verdict
        for again in (lambda: sandbox.run_code("1"), lambda: sandbox["x"], sandbox.fork):
            with pytest.raises(SessionEnded, match=verdict) as caught:
                again()
            assert caught.value.execution is last


def test_a_sandbox_that_is_dropped_takes_its_guest_along(template):
    gc.collect()
    gc.disable()
    try:
        sandbox = Sandbox(template=template)
        sandbox.expose(lambda: 1, "f")
        sandbox["x"] = belljar.readonly([sandbox.run_code("f()").value])
        guest, desk = sandbox._session.guest, weakref.ref(sandbox._session.desk)
        held = sys.getrefcount(guest)
        del sandbox
        assert desk() is None and sys.getrefcount(guest) < held
        assert sys.getrefcount(guest) == 2  # ours and getrefcount's: the process goes with it
    finally:
        gc.enable()


@core
def test_what_a_run_cost_and_was_refused_is_known_after_its_sandbox_is_closed(template):
    refused = "try: open('/etc/shadow')\nexcept OSError: pass\n"
    with Sandbox(template=template) as sandbox:
        runs = [sandbox.run_code(refused * (i + 1)) for i in range(2)]
    assert [[one.target for one in run.violations] for run in runs] == [["/etc/shadow"], ["/etc/shadow"] * 2]
    assert all(run.usage.served > 0 and run.usage.peak_bytes > 0 for run in runs) and [run.refused for run in runs] == [1, 2]
    with Sandbox(template=template) as sandbox:
        run = sandbox.run_code(refused)
        sandbox.freeze()
    assert run.refused == 1


def test_what_a_run_of_a_fork_was_refused_is_known_after_it_is_closed(template):
    with Sandbox(template=template) as sandbox, forks(sandbox) as other:
        run = other.run_code("try: open('/etc/shadow')\nexcept OSError: pass\n")
    assert run.refused == 1


def test_a_closed_sandbox_says_so(template):
    sandbox = Sandbox(template=template)
    sandbox.close()
    for use in (lambda: sandbox["x"], lambda: sandbox.run_code("1"), lambda: sandbox.expose(len), lambda: sandbox.fork()):
        with pytest.raises(SessionEnded, match="closed"):
            use()


def test_input_shows_its_prompt_and_asks_the_callback(template):
    shown, asked = [], []

    def answer():
        asked.append("".join(shown))
        return "Ada\n"

    with Sandbox(template=template, stdin=answer) as sandbox:
        ex = sandbox.run_code("name = input('name? ')\nprint('hello', name)", on_stdout=shown.append)
    assert ex.stdout == "name? hello Ada\n"
    assert asked


def test_input_reads_stdin_over_several_runs(template):
    with Sandbox(template=template, stdin="one\ntwo\n") as sandbox:
        assert sandbox.run_code("input()").value == "one"
        assert sandbox.run_code("input()").value == "two"


def test_the_sandbox_module_is_there_inside(sandbox):
    sandbox["x"] = belljar.readonly([1])
    assert (
        sandbox.run_code("import belljar\ntry:\n  x[0] = 2\nexcept belljar.SandboxError as e:\n  r = str(e)\nr").value
        == "Read only object"
    )


# ---- Output and results ------------------------------------------------------------------------------------------


def test_each_run_has_its_own_output_and_a_silent_one_none(sandbox):
    for number in range(60):
        loud = sandbox.run_code(f"import os, sys; print({number}); os.write(2, b'e{number}'); {number}")
        assert (loud.stdout, loud.stderr, loud.value) == (f"{number}\n", f"e{number}", number)
        silent = sandbox.run_code(f"{number} + 1")
        assert (silent.stdout, silent.stderr, silent.value) == ("", "", number + 1)


def test_long_runs_and_short_ones_in_turn_are_waited_for(sandbox):
    pauses = [0] * 5 + [0.002] * 8 + [0, 0.002] * 4 + [0] * 70  # after a few long ones in a row the host sleeps until a run is over
    for number, pause in enumerate(pauses):
        execution = sandbox.run_code(f"import time; time.sleep({pause}); print({number}); {number}")
        assert (execution.stdout, execution.value) == (f"{number}\n", number)


def test_a_host_that_waits_for_a_long_run_uses_no_cpu(sandbox):
    sandbox.run_code("import time")
    began = time.thread_time()
    sandbox.run_code("time.sleep(0.6)")
    assert time.thread_time() - began < 0.3
