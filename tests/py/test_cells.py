"""Code as people type it into notebooks, in sessions and in guests of their own."""

from __future__ import annotations

import contextlib

import pytest

from belljar import Policy, Sandbox, SandboxConfig, SandboxError


core = pytest.mark.core


@contextlib.contextmanager
def forked(sandbox):
    try:
        twin = sandbox.fork()
    except SandboxError as error:
        assert "user namespaces" in str(error)
        pytest.skip("a session is forked only where there are user namespaces")
    with twin:
        yield twin


PYTHON = "/usr/bin/python3"


# ---- Cells -----------------------------------------------------------------------------------------------------------


@core
def test_a_cell_may_await_and_its_tasks_go_on_with_the_next(sandbox):
    assert (
        sandbox.run_code(
            "import asyncio\ntask = asyncio.create_task(asyncio.sleep(0.01, 'done'))\nasync with asyncio.timeout(9): x = 3"
        ).verdict
        == "ok"
    )
    assert sandbox.run_code("await task, x").value == ("done", 3)
    assert sandbox.run_code("[one async for one in aiter_()]").error.name == "NameError"
    assert sandbox.run_code("asyncio.run(asyncio.sleep(0, 'as ever'))").value == "as ever"
    assert sandbox.run_code("await asyncio.sleep(60)", timeout=0.3).verdict == "timeout"
    assert sandbox.run_code("await asyncio.sleep(0, 'kept')").value == "kept"


def test_a_traceback_of_a_cell_that_awaits_has_no_frame_of_the_loop(sandbox):
    error = sandbox.run_code("async def fail():\n    1 / 0\nawait fail()").error
    assert error.name == "ZeroDivisionError" and "asyncio" not in error.traceback and "await fail()" in error.traceback


CELLS = [
    ("    6 * 7", 42),
    ("\n    x = 6\n    if x:\n        x *= 7\n    x\n", 42),
    ("if True:\n    x = 42\nx", 42),
    ("import asyncio; await asyncio.sleep(0, 42)", 42),
    ("import asyncio\ntask = asyncio.create_task(asyncio.sleep(0, 42))\nawait task", 42),
    ("x = (142\n% 100)\nx", 42),
    ("%time 6 * 7", 42),
    ("%matplotlib inline\n42", 42),
    ("%%time\nx = 6\nx * 7", 42),
]


@core
@pytest.mark.parametrize(("code", "value"), CELLS, ids=repr)
def test_code_of_notebooks_runs_in_a_session_and_in_a_guest_of_its_own(sandbox, template, code, value):
    assert sandbox.run_code(code).value == template.run(code).value == value


NO_PYTHON = ["  x = 1\n y = 2", "x = = 3", "!", "1 +", "%", "def f(:\n  %time 1"]


@pytest.mark.parametrize("code", NO_PYTHON, ids=repr)
def test_what_is_no_python_is_a_syntax_error_as_ever(sandbox, code):
    assert sandbox.run_code(code).error.name in ("SyntaxError", "IndentationError")


LINES = [
    ("!ls -la", "os.listdir()"),
    ("x = !cat a.txt", "open(name).read()"),
    ("%run other.py", "runpy.run_path(name)"),
    ("%%bash\nls", "there is no shell"),
    ("if True:\n    !make all", "there is no shell"),
    ("%nothing", "write it in Python"),
    ("len?", "help(len)"),
]


@pytest.mark.parametrize(("code", "words"), LINES, ids=[row[0] for row in LINES])
def test_a_line_for_ipython_or_a_shell_is_answered_with_what_to_write(sandbox, code, words):
    error = sandbox.run_code(code).error
    assert words in error.value and error.value.startswith("belljar: ")
    assert "<host>" not in error.traceback and code.strip().split("\n")[-1].strip() in error.traceback or code.startswith("%%")


def test_lines_that_simply_work(sandbox):
    sandbox.run_code("one = 1")
    assert "per loop" in sandbox.run_code("%timeit -n 2 -r 2 one + 1").stdout
    assert "wall time" in sandbox.run_code("%time one").stdout
    assert "one" in sandbox.run_code("%who").stdout and "int" in sandbox.run_code("%whos").stdout
    assert sandbox.run_code("%%writefile made.py\nanswer = 42").verdict == "ok"
    assert sandbox.run_code("import made; made.answer").value == 42
    assert sandbox.run_code("%cd /tmp\n%pwd").value == "/tmp"
    absent = sandbox.run_code("!pip install there-is-no-such-thing>=2\n'went on'")
    assert absent.value == "went on" and "there-is-no-such-thing" in absent.stderr and "!pip list" in absent.stderr
    listed = sandbox.run_code("!pip list")
    assert listed.verdict == "ok"
    if listed.stdout.strip():
        name = listed.stdout.split()[0]
        assert name in sandbox.run_code(f"!pip install {name}").stdout


def test_under_a_language_policy_they_are_refused_in_words():
    with Sandbox(SandboxConfig("stdout"), python=PYTHON) as sandbox:
        assert "IPython" in sandbox.run_code("!ls").error.value
        assert sandbox.run_code("  6 * 7").value == 42
        assert sandbox.run_code("_ + 1").value == 43


LOOPS = {"open": lambda: Policy(timeout=20), "language": lambda: SandboxConfig("stdout", "asyncio", timeout=20)}


async def doubled(x):
    import asyncio

    return await asyncio.sleep(0, 2 * x)


@core
@pytest.mark.parametrize("policy", LOOPS)
def test_a_loop_serves_cells_calls_and_host_functions_and_each_branch_has_its_own(policy):
    with Sandbox(LOOPS[policy](), python=PYTHON) as sandbox:
        sandbox.expose(doubled)
        assert (
            sandbox.run_code("import asyncio\ntask = asyncio.create_task(asyncio.sleep(0.01, 'done'))\nawait doubled(2)").value == 4
        )
        assert sandbox.run_code("await asyncio.gather(doubled(1), doubled(2))").value == [2, 4]
        assert sandbox.run_code("doubled(3)").value == sandbox.call(doubled, 3) == 6
        assert sandbox.run_code("await asyncio.sleep(60)", timeout=0.3).verdict == "timeout"
        with forked(sandbox) as twin:
            for one in (twin, sandbox, twin):
                assert one.run_code("await asyncio.sleep(0.01)\nawait task, await doubled(5)").value == ("done", 10)
            if policy == "open":
                for one in (sandbox, twin, sandbox):
                    assert one.run_code("await asyncio.to_thread(len, 'abc')").value == 3
        assert sandbox.context("other").run_code("class A:\n    async def f(self): return 1\nclass B(A):\n"
                                                 "    async def f(self): return 1 + await super().f()\nawait B().f()").value == 2  # fmt: skip
        error = sandbox.run_code("async def fail():\n    1 / 0\nawait fail()").error
        assert error.name == "ZeroDivisionError" and "asyncio" not in error.traceback and "await fail()" in error.traceback


def test_without_the_feature_there_is_no_loop():
    with Sandbox(SandboxConfig("stdout"), python=PYTHON) as sandbox:
        assert sandbox.run_code("await print()").error.name == "SyntaxError"
        with pytest.raises(SandboxError, match="the feature asyncio"):
            sandbox.call(waits)
        assert sandbox.call(waits_not) == 1


class Waits:
    def __await__(self):
        yield


async def waits():
    await Waits()


async def waits_not():
    return 1


@core
def test_the_last_value_is_the_underscore_unless_the_program_has_its_own(sandbox):
    sandbox.run_code("6 * 7")
    sandbox.run_code("x = 1")
    assert sandbox.run_code("_").value == 42
    sandbox.run_code("for _ in range(3): pass")
    sandbox.run_code("99")
    assert sandbox.run_code("_").value == 2


@core
def test_cells_are_numbered_and_show_their_lines(sandbox):
    assert sandbox.run_code("def first():\n    return 1 / 0").execution_count == 1
    traceback = sandbox.run_code("\nfirst()").error.traceback
    assert 'File "<cell 2>", line 2' in traceback and 'File "<cell 1>", line 2, in first\n    return 1 / 0' in traceback
    assert 'File "mine.py", line 1' in sandbox.run_code("1 / 0", filename="mine.py").error.traceback
    with forked(sandbox) as twin:
        assert 'File "<cell 4>"' in twin.run_code("first()").error.traceback
