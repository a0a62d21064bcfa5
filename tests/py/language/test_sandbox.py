"""pysandbox's Sandbox in the real jar: execute, call and create_callback, their errors and their limits."""

from __future__ import annotations

import asyncio
import itertools
import math
import os
import pathlib
import string
import time
from collections.abc import Iterator
from typing import Any

import pytest

belljar = pytest.importorskip("belljar")
from belljar import pysandbox  # noqa: E402
from belljar.config import SandboxConfig  # noqa: E402
from belljar.errors import SandboxError, Timeout  # noqa: E402


@pytest.fixture
def sandbox() -> Iterator[Any]:
    with belljar.Sandbox(SandboxConfig()) as made:
        yield made


def refuses(kind: type[BaseException], message: str, function: Any, *arguments: Any) -> None:
    with pytest.raises(kind) as caught:
        function(*arguments)
    assert type(caught.value) is kind
    refused, _, _ = str(caught.value).partition("; to permit it")  # test_refusals_permit.py has the rest
    assert refused.partition(" Nothing permits")[0] == message


# ---- execute -----------------------------------------------------------------------------------------------------


def test_a_sandbox_of_a_config_is_a_sandbox(sandbox: Any) -> None:
    assert isinstance(sandbox, belljar.Sandbox) and repr(sandbox) == "<Sandbox open, SandboxConfig()>"


def test_execute_runs_in_an_empty_namespace(sandbox: Any) -> None:
    sandbox.execute("assert globals() is locals() and list(globals()) == ['__builtins__']; x = 1")
    sandbox.execute("assert 'x' not in globals()")


def test_the_dictionaries_hold_what_became_of_them(sandbox: Any) -> None:
    kept = [1]
    names: dict[str, Any] = {"a": 1, "gone": 2, "kept": kept}
    sandbox.execute("a = 10; del gone; new = kept; total = sum(kept)", names)
    assert names == {"a": 10, "kept": [1], "new": [1], "total": 1} and names["kept"] is kept


def test_globals_and_locals_are_two(sandbox: Any) -> None:
    outer, inner = {"a": 1}, {"b": 2}
    sandbox.execute("assert globals() is not locals() and a == 1 and b == 2; b = 3; c = 4", outer, inner)
    assert (outer, inner) == ({"a": 1}, {"b": 3, "c": 4})
    both = {"a": 1}
    sandbox.execute("assert globals() is locals(); a = 2", both, both)
    assert both == {"a": 2}


def test_an_error_leaves_the_dictionaries_alone(sandbox: Any) -> None:
    names = {"a": 1}
    refuses(ZeroDivisionError, "division by zero", sandbox.execute, "a = 2; 1 / 0", names)
    assert names == {"a": 1}


@pytest.mark.parametrize(
    ("code", "kind", "message"),
    [
        ("import os", ImportError, 'Import "os" blocked by the sandbox'),
        ("exit()", SandboxError, "exit() function blocked by the sandbox"),
        ("raise ValueError('text')", ValueError, "text"),
        ("{}['k']", KeyError, "'k'"),
        ("{}[1]", KeyError, "'1'"),
        ("class Mine(ValueError): pass\nraise Mine('text')", SandboxError, "Mine: text"),
        ("class SystemExit(Exception): pass\nraise SystemExit('text')", SandboxError, "SystemExit: text"),
        ("open('/etc/hosts', 'w')", ValueError, "Only read modes are allowed."),
        ("value.append(1)", SandboxError, "Read only object"),
        ("open('/etc/hosts')", PermissionError, "[Errno 13] Sandbox deny access to the file '/etc/hosts': '/etc/hosts'"),
        ("def f(:", SyntaxError, "invalid syntax (<sandbox>, line 1)"),
        ("'\\udcff'.encode()", UnicodeError,
         "'utf-8' codec can't encode character '\\udcff' in position 0: surrogates not allowed"),
    ],
)  # fmt: skip
def test_errors_come_out_as_builtin_types_with_their_text(sandbox: Any, code: str, kind: Any, message: str) -> None:
    refuses(kind, message, sandbox.execute, code, {"value": []})


def test_an_exit_ends_the_program_and_not_the_host() -> None:
    sandbox = belljar.Sandbox(SandboxConfig("exit"))
    refuses(SandboxError, "SystemExit: 3", sandbox.execute, "exit(3)")
    refuses(SandboxError, "SystemExit: 0", sandbox.execute, "raise SystemExit")
    refuses(
        SandboxError,
        "SandboxError: no",
        sandbox.execute,
        "class SandboxError(BaseException): pass\nraise SandboxError('SandboxError: no')",
    )


def test_what_leads_further_is_not_handed_in(sandbox: Any) -> None:
    refuses(SandboxError, "Unable to proxy a value of type <class 'module'>", sandbox.execute, "", {"os": os})
    refuses(SandboxError, "Unable to proxy a value of type <class 'generator'>", sandbox.execute, "", {"g": (x for x in ())})


class Point:
    def __init__(self, x: int) -> None:
        self.x = x


def test_functions_and_classes_that_are_handed_in_run_inside(sandbox: Any) -> None:
    names: dict[str, Any] = {"double": lambda x: [x, x], "Point": Point, "names": []}
    sandbox.execute("twice = double(2)[1]; x = Point(7).x; kind = isinstance(Point(1), Point); double(1).append(2)", names)
    assert (names["twice"], names["x"], names["kind"]) == (2, 7, True)


def test_pysandbox_reads_a_file_that_it_was_handed_and_no_other_face_does(sandbox: Any, tmp_path: Any) -> None:
    (tmp_path / "text").write_text("one\ntwo\n")
    old = pysandbox.Sandbox(pysandbox.SandboxConfig())
    with open(tmp_path / "text") as file:
        names: dict[str, Any] = {"file": file}
        old.execute("first = file.readline(); rest = list(file)", names)
        assert (names["first"], names["rest"]) == ("one\n", ["two\n"])
        refuses(SandboxError, "Read only object", old.execute, "file.mode = 'w'", {"file": file})
        refuses(
            AttributeError, "'belljar.ReadOnlyObject' object has no attribute '_path'", old.execute, "file._path", {"file": file}
        )
        with pytest.raises(SandboxError, match="^file → open file cannot be sent to a sandbox: make it inside"):
            sandbox.execute("file.readline()", {"file": file})


# ---- Limits ------------------------------------------------------------------------------------------------------


def test_the_time_limit() -> None:
    sandbox = belljar.Sandbox(SandboxConfig(timeout=0.3))
    refuses(Timeout, "the program was stopped at its time limit", sandbox.execute, "while True: pass")
    sandbox.execute("1 + 1")
    assert issubclass(Timeout, SandboxError)


def test_the_memory_limit() -> None:
    sandbox = belljar.Sandbox(SandboxConfig(max_memory=64 << 20))
    with pytest.raises(MemoryError):
        sandbox.execute("'x' * (1 << 30)")
    with pytest.raises(MemoryError):
        sandbox.execute("x = []\nwhile True: x.append([0] * 1000)")


def test_the_size_limits() -> None:
    sandbox = belljar.Sandbox(SandboxConfig(max_input_size=2000, max_output_size=2000))
    names: dict[str, Any] = {}
    sandbox.execute("x = 'x' * 1000", names)
    refuses(SandboxError, "Input data are too big", sandbox.execute, "", {"x": "x" * 3000})
    refuses(SandboxError, "Output data are too big", sandbox.execute, "x = 'x' * 3000", names)
    assert names == {"x": "x" * 1000}


def test_a_crash_is_told_by_its_signal() -> None:
    config = SandboxConfig()
    config.allow_safe_module("ctypes", "string_at")
    refuses(
        SandboxError,
        "subprocess killed by signal 11",
        belljar.Sandbox(config).execute,
        "from ctypes import string_at\nstring_at(1)",
    )


def test_the_recursion_limit() -> None:
    sandbox = belljar.Sandbox(SandboxConfig(recursion_limit=30))
    code = "def f(n): return n and f(n - 1)\nf({})"
    sandbox.execute(code.format(20))
    with pytest.raises(RecursionError):
        sandbox.execute(code.format(40))


# ---- call --------------------------------------------------------------------------------------------------------

TABLE = {"a": [1, 2]}


def area(radius: float, times: int = 2, *, offset: float = 1.0) -> Any:
    def inner() -> float:
        return math.sqrt(radius)

    return helper(times) * math.pi * radius + offset, inner(), TABLE["a"][1]


def helper(number: int) -> int:
    return number if number < 5 else helper(number - 1)


def change(table: list[int]) -> None:
    table.append(1)


def look() -> str:
    return os.getcwd()


def test_call_passes_arguments_and_returns_the_result() -> None:
    with belljar.Sandbox(SandboxConfig("math")) as sandbox:
        assert sandbox.call(area, 4.0) == (2 * math.pi * 4.0 + 1.0, 2.0, 2)
        assert sandbox.call(area, 4.0, times=9, offset=0) == (4 * math.pi * 4.0, 2.0, 2)


def test_arguments_are_read_only(sandbox: Any) -> None:
    mine = [0]
    refuses(SandboxError, "Read only object", sandbox.call, change, mine)
    refuses(SandboxError, "Read only object", sandbox.call, lambda: change(TABLE["a"]))
    assert mine == [0] and TABLE == {"a": [1, 2]}


def test_a_functions_modules_are_those_of_the_policy(sandbox: Any) -> None:
    refuses(ImportError, 'Import "os" blocked by the sandbox', sandbox.call, look)
    refuses(ImportError, 'Import "itertools" blocked by the sandbox', sandbox.call, lambda: itertools.count)
    assert belljar.Sandbox(SandboxConfig("itertools")).call(lambda: next(itertools.count(7))) == 7
    refuses(ImportError, 'Import "string" blocked by the sandbox', sandbox.call, lambda: string.digits)


def test_a_functions_builtins_are_those_of_the_policy(sandbox: Any) -> None:
    with pytest.raises(PermissionError):
        sandbox.call(lambda: open("/etc/hosts"))
    with pytest.raises(NameError):
        sandbox.call(lambda: breakpoint())
    assert sandbox.call(lambda: len([*range(3)])) == 3


def test_a_function_hides_its_insides(sandbox: Any) -> None:
    with pytest.raises(AttributeError):
        sandbox.call(lambda: helper.__globals__)
    with pytest.raises(AttributeError):
        sandbox.call(lambda: helper.__code__)


def test_closures_and_callbacks(sandbox: Any) -> None:
    factor = 3
    callback = sandbox.create_callback(lambda x, y=1: x * factor + y, 4)
    assert (callback(), callback()) == (13, 13)


def test_a_session_goes_on_beside_them() -> None:
    with belljar.Sandbox(SandboxConfig("stdout")) as sandbox:
        sandbox["given"] = [1, 2]
        assert sandbox.run_code("x = sum(given); print(x); x").value == 3
        assert sandbox.run_code("x + 1").value == 4 and sandbox["x"] == 3
        assert sandbox.run_code("import os").error.value.startswith('Import "os" blocked by the sandbox; to permit it: ')
        sandbox.expose(lambda number: number + 1, "more")
        assert sandbox.run_code("more(41)").value == 42
        assert sandbox.call(helper, 3) == 3


def test_restricted_holds_in_the_jar() -> None:
    sandbox = belljar.Sandbox(SandboxConfig("stdout", restricted=True))
    sandbox.execute("class A: pass\na = A(); a.x = 1\nassert a.x == 1")
    with pytest.raises(NameError):
        sandbox.execute("open('/etc/hosts')")
    with pytest.raises(TypeError):
        sandbox.execute("class A: pass\nA.x = 1")
    with pytest.raises(AttributeError):
        sandbox.execute("class A: pass\nA().__dict__")


# ---- pysandbox's own spellings -------------------------------------------------------------------------------------


def test_a_program_for_pysandbox_runs(capsys: pytest.CaptureFixture[str]) -> None:
    config = pysandbox.SandboxConfig("stdout")
    config.allowModule("math", "sqrt")
    sandbox = pysandbox.Sandbox(config)
    names = {"n": 16}
    sandbox.execute("from math import sqrt\nprint('root', sqrt(n))\nresult = sqrt(n)", names)
    assert names["result"] == 4.0 and capsys.readouterr().out == "root 4.0\n"
    assert sandbox.createCallback(helper, 3)() == sandbox.call(helper, 3) == 3
    config.timeout = 0.3
    with pytest.raises(pysandbox.Timeout):
        sandbox.execute("while True: pass")
    with pytest.raises(pysandbox.SandboxError):
        sandbox.execute("exit()")


@pytest.mark.core
def test_modules_that_are_allowed_work_to_their_depths():
    """What their functions import when they are called is there, and is not the program's to import."""
    config = SandboxConfig("stdout", "stderr")
    config.allow_module("argparse", "ArgumentParser")
    config.allow_module("collections", "Counter")
    code = """
import argparse, collections
parser = argparse.ArgumentParser(prog="x")
parser.add_argument("word", help="counted")
print(parser.format_help())
print(parser.parse_args(["abba"]).word, collections.Counter("abbb").most_common(1)[0][0])
"""
    execution = belljar.run(code, config)
    assert execution.error is None, execution.error
    assert "counted" in execution.stdout and execution.stdout.endswith("abba b\n")
    for name in ("textwrap", "gettext", "locale", "shutil"):
        refused = belljar.run(f"import {name}", config)
        assert refused.error.value.startswith(f'Import "{name}" blocked by the sandbox')


@pytest.mark.core
def test_a_program_has_its_arguments_where_it_may_see_them():
    config = SandboxConfig("stdout")
    config.allow_module("sys", "argv")
    with belljar.Template(config) as template:
        execution = template.run("import sys; print(sys.argv[1:])", argv=["name", "a", "b"])
        assert execution.stdout == "['a', 'b']\n"
        assert template.run("import sys; sys.argv.append('x')").error is not None


# ---- Every face has them ---------------------------------------------------------------------------------------------


def spin() -> None:
    while True:
        pass


def triple(number: int) -> int:
    return number * 3


def test_a_policy_with_features_has_the_same_execute_and_call() -> None:
    with belljar.Sandbox(belljar.Policy(feature=["stdout", "math"], timeout=20)) as sandbox:
        names: dict[str, Any] = {"x": 2}
        assert sandbox.execute("import math; y = math.sqrt(x * 8); print(y)", names).stdout == "4.0\n" and names["y"] == 4.0
        refuses(ZeroDivisionError, "division by zero", sandbox.execute, "1 / 0")
        refuses(ImportError, 'Import "os" blocked by the sandbox', sandbox.execute, "import os")
        assert sandbox.call(triple, 14) == sandbox.create_callback(triple, number=14)() == 42
        sandbox.run_code("kept = 1")
        refuses(NameError, "name 'kept' is not defined", sandbox.execute, "kept")  # a guest of its own
        assert sandbox["kept"] == 1


def test_builtins_and_symbols_that_the_policy_allows_can_be_called(sandbox: Any) -> None:
    assert sandbox.call(pow, 2, 3) == 8 and sandbox.call(sorted, [2, 1], reverse=True) == [2, 1]
    refuses(ImportError, 'Import "math" blocked by the sandbox', sandbox.call, math.sqrt, 4)
    with belljar.Sandbox(SandboxConfig("math")) as other:
        assert other.call(math.sqrt, 4) == 2.0
    for function in ([].append, itertools.count(1).__next__, "a".upper):  # theirs would be the host's doing
        with pytest.raises(SandboxError, match="it would act on an object of this program's; write a function that makes the call"):
            sandbox.call(function)


def test_an_interrupt_and_a_kill_reach_a_call_that_has_a_guest_of_its_own() -> None:
    with belljar.Sandbox(SandboxConfig("stdout", timeout=60)) as sandbox:
        refuses(SandboxError, "KeyboardInterrupt", lambda: sandbox.execute("print(1)\nwhile True: pass",
                                                                             on_stdout=lambda text: sandbox.interrupt()))  # fmt: skip
        with pytest.raises(SandboxError, match="ended by the host"):
            sandbox.execute("print(1)\nwhile True: pass", on_stdout=lambda text: sandbox.kill())


def test_async_calls_run_beside_each_other_and_one_that_is_cancelled_ends_alone() -> None:
    async def main() -> None:
        config = SandboxConfig("stdout", timeout=60)
        async with belljar.AsyncSandbox(config) as sandbox:
            await sandbox.run_code("x = 5")
            assert await asyncio.gather(*(sandbox.call(triple, number) for number in range(4))) == [0, 3, 6, 9]
            started = asyncio.Event()
            names: dict[str, Any] = {}
            task = asyncio.ensure_future(sandbox.execute("print(1)\nwhile True: pass", on_stdout=lambda text: started.set()))
            await started.wait()
            await sandbox.execute("y = 1", names)
            assert names == {"y": 1} and (await sandbox.run_code("x")).value == 5  # meanwhile
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert (await sandbox.run_code("x")).value == 5
            with pytest.raises(ZeroDivisionError):
                await sandbox.execute("1 / 0")

    asyncio.run(main())


def test_an_executor_under_a_language_policy() -> None:
    with belljar.SandboxExecutor(SandboxConfig("stdout", timeout=60), max_workers=2) as pool:
        assert list(pool.map(triple, [1, 2, 3])) == [3, 6, 9]
        assert pool.submit(max, [1, 5, 2]).result() == 5
        assert isinstance(pool.submit(lambda: 1 / 0).exception(), ZeroDivisionError)
        task = pool.submit(spin)
        while not task.running():
            time.sleep(0.01)
        assert task.cancel() and task.cancelled()
        assert pool.submit(triple, 1).result() == 3


def test_the_limits_of_a_config_hold_for_every_face() -> None:
    config = SandboxConfig(max_input_size=2000, max_output_size=2000)
    with belljar.Template(config) as template, template.sandbox() as sandbox:
        refuses(SandboxError, "Input data are too big", sandbox.execute, "", {"x": "x" * 3000})
        refuses(SandboxError, "Output data are too big", sandbox.execute, "x = 'x' * 3000", {})
        assert sandbox.config is template.config is config
        sandbox.execute("x = 'x' * 1000", {})
    with belljar.SandboxExecutor(config, max_workers=1) as pool:
        assert str(pool.submit(triple, "x" * 3000).exception()) == "Input data are too big"


def test_a_sandbox_without_a_config_says_where_its_policy_is() -> None:
    with belljar.Sandbox() as sandbox:
        with pytest.raises(AttributeError, match=r"write sandbox.policy \(it was made without a SandboxConfig\)"):
            _ = sandbox.config
        assert not hasattr(sandbox, "config") and sandbox.policy == belljar.Policy()


READS_ALL = "import sys\nlines = [line for line in sys.stdin]"


@pytest.mark.parametrize("given", ("a\nb\n", None, "file"))
def test_standard_input_comes_to_its_end_in_every_call(given: Any, folder: pathlib.Path) -> None:
    (folder / "in").write_text("a\nb\n")

    def count() -> int:
        import sys

        return len(list(sys.stdin))

    with open(folder / "in") as file, belljar.Sandbox(SandboxConfig("stdin"), stdin=file if given == "file" else given) as sandbox:
        names: dict[str, Any] = {}
        sandbox.execute(READS_ALL, names)
        assert names["lines"] == (["a\n", "b\n"] if given else [])
        assert sandbox.call(count) == (2 if given and given != "file" else 0)  # a text is there for each, a file is read on
