"""Sessions that are more than one: host functions side by side, contexts, sessions as files."""

from __future__ import annotations

import asyncio
import os
import pickle
import threading

import pytest

import belljar
from belljar import AsyncSandbox, Policy, Sandbox, SandboxConfig, SandboxError, Template


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


@pytest.fixture(scope="module")
def template():
    with Template(Policy(timeout=20), python=PYTHON) as template:
        yield template


@pytest.fixture
def sandbox(template):
    with Sandbox(template=template) as sandbox:
        yield sandbox


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
    assert set(lost) == {"os", "datetime", "f", "held"} and "not a value" in lost["f"]
    assert [path.name for path in tmp_path.iterdir()] == ["session"]
    with Sandbox.load(tmp_path / "session", Policy(timeout=20), python=PYTHON) as again:
        assert (again["x"], again["day"]) == (sandbox["x"], sandbox["day"]) and list(again) == ["x", "day"]
        assert again.files["in/a.bin"] == b"y" * 9_000_000
        assert again.run_code("import os; os.readlink('in/link'), os.listdir('in/empty')").value == ("a.bin", [])


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
