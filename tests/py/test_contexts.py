"""Sessions that are more than one: host functions side by side, contexts, sessions as files."""

from __future__ import annotations

import asyncio
import os
import pickle
import threading

import pytest

import belljar
import looking
from belljar import AsyncSandbox, Policy, Sandbox, SandboxConfig, SandboxError, SessionEnded


core = pytest.mark.core
PYTHON = "/usr/bin/python3"
POLICIES = {
    "open": lambda **options: Policy(timeout=20, **options),
    "strict": lambda **options: SandboxConfig("stdin", "stdout", timeout=20, **options),
}


def in_thread(call):
    """Begins a call in a thread; a function that waits for what it returns."""
    found = []
    thread = threading.Thread(target=lambda: found.append(call()))
    thread.start()

    def result():
        thread.join(60)
        return found[0]

    return result


# ---- Host functions side by side ----------------------------------------------------------------------------------------

BY_THREADS = """
import threading
found = {}
threads = [threading.Thread(target=lambda i=i: found.__setitem__(i, meet(i))) for i in range(3)]
for one in threads: one.start()
for one in threads: one.join()
[found[i] for i in range(3)]
"""
SIDE_BY_SIDE = {
    "threads": BY_THREADS,
    "to_thread": "import asyncio\nawait asyncio.gather(*[asyncio.to_thread(meet, i) for i in range(3)])",
    "gather": "import asyncio\nawait asyncio.gather(*[meet(i) for i in range(3)])",
}


def met(count):
    """A function and its twin, each of which returns when so many calls of it are at work: one after the other would never."""
    here = threading.Barrier(count, timeout=60)
    come = []

    def meet(number):
        here.wait()
        return number * 2

    async def meet_later(number):
        come.append(number)
        async with asyncio.timeout(60):
            while len(come) < count:
                await asyncio.sleep(0.01)
        return number * 2

    return meet, meet_later


@core
@pytest.mark.parametrize(("how", "is_async"), [("threads", False), ("threads", True), ("to_thread", False), ("gather", True)])
@pytest.mark.parametrize("face", ["Sandbox", "stream", "AsyncSandbox"])
def test_host_functions_are_at_work_side_by_side(template, face, how, is_async):
    function = met(3)[is_async]
    code = SIDE_BY_SIDE[how]

    async def main():
        async with AsyncSandbox(template=template) as sandbox:
            await sandbox.expose(function, "meet")
            return await sandbox.run_code(code)

    if face == "AsyncSandbox":
        execution = asyncio.run(main())
    else:
        with template.sandbox() as sandbox:
            sandbox.expose(function, "meet")
            execution = [*sandbox.stream(code)][-1] if face == "stream" else sandbox.run_code(code)
    assert execution.value == [0, 2, 4], execution.error


AS_COROUTINES = {
    "task": "t = asyncio.create_task(f(1))\nawait t",
    "group": "async with asyncio.TaskGroup() as group:\n    t = group.create_task(f(1))\nt.result()",
    "wait_for": "await asyncio.wait_for(f(1), 20)",
    "shield": "await asyncio.shield(f(1))",
    "as_completed": "[await one for one in asyncio.as_completed([f(1)])][0]",
    "is": "one = f(1)\nassert asyncio.iscoroutine(one)\nawait one",
    "within": "async def main():\n    return await f(1)\nasyncio.run(main())",
}


@pytest.mark.parametrize("how", AS_COROUTINES)
def test_what_an_async_function_of_the_hosts_returns_is_a_coroutine(sandbox, how):
    async def f(x):
        return x

    sandbox.expose(f)
    execution = sandbox.run_code("import asyncio\n" + AS_COROUTINES[how])
    assert execution.value == 1, execution.error


def test_one_after_the_other_is_in_the_thread_that_runs_the_code(sandbox):
    sandbox.expose(threading.get_ident, "which")
    assert sandbox.run_code("which(), which()").value == (threading.get_ident(),) * 2


def test_their_budget_is_counted_as_they_begin(sandbox):
    sandbox.expose(lambda i: i, "meet", max_calls=2)
    code = BY_THREADS.replace("meet(i)", "attempt(i)")
    execution = sandbox.run_code(
        "def attempt(i):\n  try: return meet(i)\n  except RuntimeError as error: return str(error)[:5]\n" + code
    )
    assert execution.value.count("meet:") == 1


def test_what_they_raise_is_raised_where_they_were_called(sandbox):
    def fail(number):
        raise LookupError(f"no {number}")

    sandbox.expose(fail, "meet")
    code = BY_THREADS.replace("meet(i)", "attempt(i)")
    execution = sandbox.run_code(
        "def attempt(i):\n  try: return meet(i)\n  except LookupError as error: return str(error)\n" + code
    )
    assert execution.value == ["no 0", "no 1", "no 2"]


def test_the_time_limit_does_not_wait_for_them_and_their_answers_are_dropped(sandbox):
    go_on = threading.Event()
    sandbox.expose(lambda i: go_on.wait(60), "meet")
    over = sandbox.run_code("import asyncio\nawait asyncio.gather(*[asyncio.to_thread(meet, i) for i in range(3)])", timeout=0.4)
    go_on.set()
    assert over.verdict == "timeout"


def test_async_functions_are_values_where_nothing_awaits(sandbox):
    async def later(number):
        return number * 3

    sandbox.expose(later)
    assert sandbox.run_code("later(14)").value == 42
    assert sandbox.run_code("import asyncio\nawait later(14)").value == 42
    assert sandbox.run_code("async def main(): return await later(14)\nasyncio.run(main())").value == 42


# ---- Contexts --------------------------------------------------------------------------------------------------------


@core
@pytest.mark.parametrize("policy", POLICIES)
def test_contexts_have_names_of_their_own_and_share_files(policy):
    with Sandbox(POLICIES[policy](), python=PYTHON) as sandbox:
        other = sandbox.context("other")
        sandbox.run_code("x = 1\n'first'")
        other.run_code("x = 2\n'second'")
        assert (sandbox.run_code("_").value, other.run_code("_").value) == ("first", "second")
        assert (sandbox["x"], other["x"], sandbox.context("other").run_code("x").value) == (1, 2, 2)
        other["y"] = 3
        assert "y" in other and "y" not in sandbox and list(other) == ["x", "y"]
        other.files["a.txt"] = b"1"
        assert sandbox.files["a.txt"] == b"1"
        other.expose(len, "size")
        assert other.run_code("size('abc')").value == 3 and sandbox.run_code("size('abc')").error.name == "NameError"
        assert other.run_code("def f():\n    return 1 / 0\nf()").error.name == "ZeroDivisionError" and other["x"] == 2
        assert [*other.stream("x")][-1].value == 2
        with other:
            pass
        assert other["x"] == 2  # a context ends with its sandbox
        for wrong in ("", 3):
            with pytest.raises((TypeError, ValueError), match="context: a name"):
                sandbox.context(wrong)


@core
def test_contexts_wait_for_their_turn(sandbox):
    other = sandbox.context("other")
    sandbox["x"], other["x"] = 10, 20
    waits = [in_thread(lambda made=made, i=i: made.run_code(f"import time; time.sleep(0.05); x + {i}").value)
             for i, made in enumerate([sandbox, other, other, sandbox])]  # fmt: skip
    assert [wait() for wait in waits] == [10, 21, 22, 13]


@core
@pytest.mark.parametrize("face", ["Sandbox", "AsyncSandbox"])
def test_each_context_has_a_queue_and_they_take_turns(template, face):
    """While one runs others come: each context's in the order in which they came, and no context waits for all of another's."""
    asked = [*((context, number) for number in range(3) for context in ("a",)), ("b", 0), ("c", 0), ("b", 1)]
    order = [("a", 0), ("b", 0), ("c", 0), ("a", 1), ("b", 1), ("a", 2)]
    ran = []
    if face == "AsyncSandbox":

        async def main():
            async with AsyncSandbox(template=template) as sandbox:
                asking, go_on = asyncio.Event(), asyncio.Event()

                async def hold():
                    asking.set()
                    await go_on.wait()

                await sandbox.expose(hold)
                first = asyncio.create_task(sandbox.run_code("hold()"))  # there is no context yet
                await asking.wait()
                waits = [asyncio.create_task(sandbox.context(context).run_code("1", on_result=lambda _, one=(context, number): ran.append(one)))
                         for context, number in asked]  # fmt: skip
                await asyncio.sleep(0)
                await asyncio.sleep(0)
                go_on.set()
                assert all([one.ok for one in await asyncio.gather(first, *waits)])

        asyncio.run(main())
    else:
        with template.sandbox() as sandbox:
            asking, go_on = threading.Event(), threading.Event()
            sandbox.expose(lambda: asking.set() or go_on.wait(60), "hold")
            first = in_thread(lambda: sandbox.run_code("hold()"))
            assert asking.wait(60)
            waits = []
            for context, number in asked:
                waits.append(in_thread(lambda made=sandbox.context(context), one=(context, number):
                                       made.run_code("1", on_result=lambda _: ran.append(one))))  # fmt: skip
                assert looking.wait_until(lambda: sum(map(len, sandbox._session.turns._queues.values())) == len(waits), 60)
            go_on.set()
            assert all(wait().ok for wait in [first, *waits])
    assert ran == order


@core
@pytest.mark.parametrize(
    ("code", "verdict"), [("1 / 0", "error"), ("while True: pass", "timeout"), ("open('/etc/shadow')", "violation")]
)
def test_a_run_that_fails_leaves_the_other_contexts_as_they_were(sandbox, code, verdict):
    first, second = sandbox.context("first"), sandbox.context("second")
    second["x"] = [1, 2]
    waits = [in_thread(lambda: first.run_code(code, timeout=0.3)), in_thread(lambda: second.run_code("x.append(3)"))]
    assert (waits[0]().verdict, waits[1]().verdict) == (verdict, "ok") and second["x"] == [1, 2, 3]


def test_who_waits_is_told_when_the_session_is_over(sandbox):
    asking, go_on = threading.Event(), threading.Event()
    sandbox.context("first").expose(lambda: asking.set() or go_on.wait(60), "hold")
    first = in_thread(lambda: sandbox.context("first").run_code("hold()"))
    assert asking.wait(60)

    def second():
        try:
            return sandbox.context("second").run_code("1").verdict
        except SessionEnded as error:
            return str(error)

    wait = in_thread(second)
    sandbox.kill()
    go_on.set()
    assert not first().ok and "the session is over" in wait()


def test_nobody_waits_for_itself(sandbox, template):
    """Code here that runs because of a run: what it asks of the same session is refused, and not waited for."""
    other = sandbox.context("other")
    refused = []

    def ask(_=None):
        try:
            other.run_code("1")
        except SandboxError as error:
            refused.append(error)

    sandbox.run_code("print(1)", on_stdout=ask)
    for _ in sandbox.stream("print(1)\nwhile True: pass"):
        ask()
        break
    assert len(refused) == 2 and other.run_code("6 * 7").value == 42

    async def main():
        async with AsyncSandbox(template=template) as sandbox:
            other = sandbox.context("other")

            async def ask():
                return (await other.run_code("1")).value

            await sandbox.expose(ask)
            return (await sandbox.run_code("ask()")).error, (await other.run_code("6 * 7")).value

    error, value = asyncio.run(main())
    assert "runs code already" in error.value and value == 42


def test_who_gives_up_waiting_is_out_of_the_queue(template):
    async def main():
        async with AsyncSandbox(template=template) as sandbox:
            other = sandbox.context("other")
            asking, go_on = asyncio.Event(), asyncio.Event()

            async def hold():
                asking.set()
                await go_on.wait()

            await sandbox.expose(hold)
            first = asyncio.create_task(sandbox.run_code("hold()"))
            await asking.wait()
            given_up, second = (asyncio.create_task(other.run_code(f"{n}")) for n in range(2))
            await asyncio.sleep(0.01)
            given_up.cancel()
            await asyncio.sleep(0)
            go_on.set()
            assert (await first).ok and given_up.cancelled()
            return (await second).value

    assert asyncio.run(main()) == 1


def test_a_host_function_does_not_wait_for_its_own_session(sandbox):
    other = sandbox.context("other")

    def again():
        try:
            return other.run_code("1").value
        except SandboxError as error:
            return str(error)

    sandbox.expose(again)
    assert "waits for the host function" in sandbox.run_code("again()").value
    assert "another thread is using" in sandbox.run_code("import asyncio\nawait asyncio.to_thread(again)").value


# ---- Sessions as files ---------------------------------------------------------------------------------------------------


@core
def test_a_session_is_written_and_goes_on_elsewhere(sandbox, tmp_path):
    sandbox.run_code(
        "import os, datetime\nx = [1, {'a': (1, 2)}]\nday = datetime.date(2024, 2, 29)\nf = lambda: 1\nheld = [f]\n_hidden = 1"
    )
    sandbox.run_code("os.makedirs('in/empty'); open('in/a.bin', 'wb').write(b'y' * 9_000_000); os.symlink('a.bin', 'in/link')")
    lost = sandbox.export(tmp_path / "session")
    assert set(lost) == {"held"} and "not a value" in lost["held"]
    assert [path.name for path in tmp_path.iterdir()] == ["session"]
    with Sandbox.load(tmp_path / "session", Policy(timeout=20), python=PYTHON) as again:
        assert (
            (again["x"], again["day"]) == (sandbox["x"], sandbox["day"])
            and [*again][:2] == ["x", "day"]
            and {*again} == {"x", "day", "os", "datetime", "f"}
        )
        assert again.files["in/a.bin"] == b"y" * 9_000_000
        assert again.run_code("import os; os.readlink('in/link'), os.listdir('in/empty')").value == ("a.bin", [])


DEFINED = """
import numpy.linalg as la
from collections import OrderedDict, deque as line
from dataclasses import dataclass
import functools

base = 10

def add(x, more=[1]):
    "Adds."
    return base + x + len(more)

@functools.lru_cache(maxsize=None)
def fib(n):
    return n if n < 2 else fib(n - 1) + fib(n - 2)

@dataclass(order=True)
class Point:
    x: int
    y: int = 0

    def size(self):
        return abs(self.x) + abs(self.y)

class Deeper(Point):
    def size(self):
        return 2 * super().size()

class Empty(Exception): pass
twice = lambda x: x * 2
alias = add
async def later(x):
    return x
"""
ASKED = """
import asyncio
[add(1), fib(50), Point(3, -4).size(), Deeper(1).size(), issubclass(Deeper, Point), Empty.__mro__[1].__name__, twice(4), alias is add,
 await later(5), [*line([1])], OrderedDict.__name__, la.__name__, add.__doc__, Point(1) < Point(2)]
"""
NOT_KEPT = """
def maker(n):
    def inner(): return n
    return inner
closed = maker(3)
point = Point(1)
where = open('/work/a.txt', 'w')
gone = (n for n in range(3))
pair = [lambda: 1, lambda: 2]
"""


@core
def test_functions_classes_and_modules_are_kept_as_text(sandbox, tmp_path):
    if sandbox.run_code("import numpy").error:
        pytest.skip("numpy is not installed")
    sandbox.run_code(DEFINED)
    sandbox.run_code("def add(x):\n    return 0")
    sandbox.run_code(
        "   def add(x, more=[1]):\n       return base + x + len(more)\n   add.__doc__ = 'Adds.'\n   alias = add\n   '%'"
    )
    sandbox.run_code(NOT_KEPT)
    first = sandbox.run_code(ASKED.replace("add.__doc__", "'Adds.'")).value
    assert first[:2] == [12, 12586269025]
    lost = sandbox.export(tmp_path / "session")
    assert {*lost} == {"closed", "point", "where", "gone", "pair"}, lost
    for _ in range(2):  # what was restored can be saved again
        with Sandbox.load(tmp_path / "session", Policy(timeout=20), python=PYTHON) as again:
            assert again.run_code(ASKED.replace("add.__doc__", "'Adds.'")).value == first
            assert "return base + x" in again.run_code("add('x')").error.traceback
            assert again.export(tmp_path / "session") == {}


def test_a_text_that_fails_is_warned_of_and_the_rest_is_there(template, tmp_path):
    from belljar._saving import Saver

    saver = Saver(tmp_path / "session")
    saver.add("code", "bad", "1 / 0")
    saver.add("code", "refused", "open('/etc/shadow')")
    saver.add("code", "good", "good = 1")
    saver.finish()
    with pytest.warns(RuntimeWarning, match="(bad|refused) could not be made again: .*") as warned:
        with Sandbox.load(tmp_path / "session", template=template) as made:
            assert made["good"] == 1
    assert len(warned) == 2 and {one.filename for one in warned} == {__file__}


def test_a_text_of_a_file_runs_in_the_sandbox_and_has_its_limits(tmp_path):
    from belljar._saving import Saver

    for text in ("import os; here = os.getpid()", "while True: pass"):
        saver = Saver(tmp_path / "session")
        saver.add("code", "here", text)
        saver.finish()
        if "while" in text:
            with pytest.raises(belljar.GuestError, match="wall time limit"):
                Sandbox.load(tmp_path / "session", Policy(timeout=0.3), python=PYTHON)
        else:
            with Sandbox.load(tmp_path / "session", Policy(timeout=20), python=PYTHON) as made:
                assert made["here"] != os.getpid()


def test_a_session_that_lies_about_its_texts_gets_no_more_than_a_text(sandbox, tmp_path):
    """The guest says what makes a variable again: that is run in a guest, and nowhere else."""
    sandbox.run_code("import inspect, ast, linecache\ndef f(): pass")
    sandbox.run_code("import sys; ast.parse = lambda text: 1 / 0; inspect.getblock = None")
    assert "f" in sandbox.export(tmp_path / "session")
    sandbox.run_code("import types; sys.modules['ast'] = types.ModuleType('no such name; import os')")
    assert "f" in sandbox.export(tmp_path / "session")


HEAD = b"belljar session 1\n"
HOSTILE = {
    "empty": b"",
    "a pickle": pickle.dumps([1]),
    "cut": HEAD + b"\x05\x00\x00\x00\x81",
    "no end": HEAD,
    "long": HEAD + b"\xff\xff\xff\xff",
    "no CBOR": HEAD + b"\x01\x00\x00\x00\xff",
    "no record": HEAD + b"\x02\x00\x00\x00\x81\x01",
    "a name that is none": HEAD + b"\x0f\x00\x00\x00\x83\x68variable\x62a.\x01\x01\x01",
    "a text that is none": HEAD + b"\x08\x00\x00\x00\x83\x64code\x61a\x01",
    "a text in no encoding": HEAD + b"\x0b\x00\x00\x00\x83\x64code\x61a\x63\xed\xa0\x80",
    "an entry that is none": HEAD + b"\x09\x00\x00\x00\x82\x65write\x81\x01",
}


@core
@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_no_session_is_refused(template, tmp_path, name):
    (tmp_path / "session").write_bytes(HOSTILE[name])
    with pytest.raises(SandboxError, match="no session that Sandbox.export has written"):
        Sandbox.load(tmp_path / "session", template=template)


def test_a_file_that_says_where_it_lies_is_written_by_the_guest_alone(template, tmp_path):
    from belljar._saving import Saver

    for path in ("/etc/escaped", "/tmp/escaped"):
        saver = Saver(tmp_path / "session")
        saver.add("write", [["file", path, b"x", 0o644]])
        saver.finish()
        try:
            Sandbox.load(tmp_path / "session", template=template).close()
        except PermissionError:
            assert path.startswith("/etc")  # the scratch of a guest has a /tmp of its own
        assert not os.path.exists(path)


def test_the_packages_of_a_guest_are_listed():
    listed = belljar.packages(python=PYTHON)
    assert all(type(name) is type(version) is str for name, version in listed.items())
    seen = belljar.run(
        "from importlib import metadata\nlen({one.metadata['Name'] for one in metadata.distributions()})", python=PYTHON
    )
    assert len(listed) == seen.value
