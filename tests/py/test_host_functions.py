"""Functions of the host inside a sandbox: signatures, exceptions, budgets, coroutines, and calls that nest."""

from __future__ import annotations

import asyncio
import pathlib
import threading
import time

import pytest

import belljar
from belljar import Opaque, Policy, Record, Sandbox, SandboxConfig, SandboxError, Template
from belljar._host_functions import describe_error

core = pytest.mark.core
PYTHON = "/usr/bin/python3"


@pytest.fixture(scope="module")
def template():
    with Template(Policy(timeout=10), python=PYTHON) as template:
        yield template


@pytest.fixture
def sandbox(template):
    with Sandbox(template=template) as sandbox:
        yield sandbox


# ---- Signatures --------------------------------------------------------------------------------------------------


def weather(city: str, /, days: int = 3, *, unit: str = "C") -> str:
    """The weather.

    In words."""
    return f"{city} {days} {unit}"


def everything(a, *rest, b=2, **more):
    return a, rest, b, more


@core
def test_it_has_its_signature_and_docstring(sandbox):
    sandbox.expose(weather)
    value = sandbox.run_code("import inspect\nweather.__name__, str(inspect.signature(weather)), inspect.getdoc(weather)").value
    assert value == ("weather", "(city: 'str', /, days: 'int' = 3, *, unit: 'str' = 'C') -> 'str'", "The weather.\n\nIn words.")


CALLS = [
    ("weather('Rome')", "Rome 3 C"),
    ("weather('Rome', 5)", "Rome 5 C"),
    ("weather('Rome', unit='F')", "Rome 3 F"),
    ("weather('Rome', days=1, unit='K')", "Rome 1 K"),
    ("everything(1)", (1, (), 2, {})),
    ("everything(1, 2, 3, b=4, c=5)", (1, (2, 3), 4, {"c": 5})),
    ("maximum(3, 9)", 9),
]


@core
@pytest.mark.parametrize(("code", "value"), CALLS)
def test_arguments_arrive_as_they_were_given(sandbox, code, value):
    sandbox.expose(weather)
    sandbox.expose(everything)
    sandbox.expose(max, "maximum")
    assert sandbox.run_code(code).value == value


def test_wrong_arguments_are_a_type_error_in_the_sandbox(sandbox):
    called = []
    sandbox.expose(lambda a: called.append(a), "f")
    assert sandbox.run_code("f()").error.name == "TypeError"
    assert sandbox.run_code("f(1, 2)").error.name == "TypeError"
    assert called == []


def test_arguments_of_the_guests_own_kinds_are_inert(sandbox):
    got = []
    sandbox.expose(got.append, "give")
    sandbox.run_code(
        "import collections\nclass Evil(str):\n  def __eq__(self, other): raise SystemExit\n  __hash__ = str.__hash__\n"
        "P = collections.namedtuple('P', 'x')\n"
        "give(Evil('a')); give(P(1)); give([print]); give({'k': lambda: 1}); give(x for x in ())"
    )
    assert [type(item) for item in got] == [Opaque, Record, list, dict, Opaque] or type(got[0]) is str
    assert all(type(item).__module__ in ("builtins", "belljar.values") for item in got)


def test_arguments_that_are_too_large_are_an_error_of_the_call(sandbox):
    got = []
    sandbox.expose(got.append, "give")
    ex = sandbox.run_code("give([0] * 3_000_000)")
    assert ex.error is None or ex.error.name == "ValueError"
    ex = sandbox.run_code("give([print, [0] * 3_000_000])")
    assert ex.error is None or ex.error.name == "ValueError"
    assert sandbox.run_code("give(1)").error is None and got[-1] == 1


def test_a_result_that_cannot_cross_is_an_error_that_names_the_remedy(sandbox):
    sandbox.expose(lambda: object(), "f")
    error = sandbox.run_code("f()").error
    assert error.name == "TypeError" and "readonly" in error.value


def test_views_among_the_items_of_a_result_become_host_objects(sandbox):
    inner = [1, 2]
    sandbox.expose(lambda: {"a": [belljar.readonly(inner)], "b": (3,)}, "f")
    assert sandbox.run_code("r = f(); r['a'][0][1], r['b']").value == (2, (3,))


def test_a_view_that_comes_back_is_a_view(sandbox):
    got, inner = [], {"k": 1}
    sandbox.expose(got.append, "give")
    sandbox["d"] = belljar.readonly(inner)
    sandbox.run_code("give(d); give([d, 5])")
    assert type(got[0]) is belljar.Readonly and got[0].original is inner
    assert got[1][0].original is inner and got[1][1] == 5


# ---- Exceptions --------------------------------------------------------------------------------------------------


class Special(LookupError):
    pass


class Odd(Exception):
    def __str__(self):
        raise RuntimeError


RAISED = [
    (ValueError("too high"), "ValueError", "too high"),
    (KeyError("name"), "KeyError", "name"),
    (Special("inside /srv/app/secret/data.py line 3"), "LookupError", "inside data.py line 3"),
    (FileNotFoundError(2, "No such file or directory", "/home/me/x"), "FileNotFoundError", "No such file or directory"),
    (RuntimeError(), "RuntimeError", ""),
    (KeyError("<Item object at 0x7f1098072d40>"), "KeyError", "<Item object>"),
    (ValueError("0x7f and 0xff"), "ValueError", "0x7f and 0xff"),
    (Odd("x"), "Exception", ""),
    (UnicodeDecodeError("utf-8", b"x", 0, 1, "bad"), "UnicodeError", "'utf-8' codec can't decode byte 0x78 in position 0: bad"),
    (ValueError("https://example.org/a/b and 1/2/3 stay"), "ValueError", "https://example.org/a/b and 1/2/3 stay"),
]


@pytest.mark.parametrize(("error", "name", "text"), RAISED, ids=[row[1] + str(n) for n, row in enumerate(RAISED)])
def test_an_exception_crosses_as_type_and_text(error, name, text):
    assert describe_error(error) == (name, text)


@core
def test_an_exception_is_caught_inside_as_its_type(sandbox):
    def fail():
        raise ValueError("too high") from KeyError("cause")

    sandbox.expose(fail)
    ex = sandbox.run_code("try:\n  fail()\nexcept ValueError as e:\n  r = str(e), e.__cause__, e.__context__\nr")
    assert ex.value == ("too high", None, None)
    error = sandbox.run_code("fail()").error
    assert (error.name, error.value) == ("ValueError", "too high")
    assert "test_host_functions" not in error.traceback and "<host>" not in error.traceback
    assert 'File "<cell 2>", line 1' in error.traceback and "cause" not in error.traceback


def test_an_exception_that_ends_programs_ends_the_run_and_comes_out(sandbox):
    def stop():
        raise KeyboardInterrupt

    sandbox.expose(stop)
    with pytest.raises(KeyboardInterrupt):
        sandbox.run_code("stop()")
    with pytest.raises(belljar.SessionEnded, match="callback"):
        sandbox.run_code("1")


# ---- Budgets and coroutines --------------------------------------------------------------------------------------


def test_a_budget_of_calls(sandbox):
    called = []
    sandbox.expose(lambda: called.append(1), "f", max_calls=2)
    error = sandbox.run_code("f(); f(); f()").error
    assert error.name == "RuntimeError" and "2 calls" in error.value
    assert len(called) == 2


def test_a_budget_of_time(sandbox):
    sandbox.expose(lambda: time.sleep(0.2) or "late", "f", timeout=0.1)
    assert sandbox.run_code("f()").error.name == "TimeoutError"
    assert sandbox.run_code("f()").error.name == "TimeoutError"


@core
def test_coroutines_run_also_under_a_loop_that_is_running(sandbox):
    async def double(x):
        await asyncio.sleep(0.01)
        return x * 2

    sandbox.expose(double)
    assert sandbox.run_code("double(4)").value == 8

    async def inside():
        return sandbox.run_code("double(5)").value

    assert asyncio.run(inside()) == 10


def test_a_coroutine_is_cancelled_when_its_time_is_over(sandbox):
    cancelled = threading.Event()

    async def slow():
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            cancelled.set()
            raise

    sandbox.expose(slow, timeout=0.1)
    started = time.monotonic()
    assert sandbox.run_code("slow()").error.name == "TimeoutError"
    assert time.monotonic() - started < 5 and cancelled.wait(5)


def test_a_coroutine_that_raises_raises_inside(sandbox):
    async def fail():
        raise LookupError("none")

    sandbox.expose(fail)
    assert sandbox.run_code("fail()").error.value == "none"


def test_a_coroutine_is_not_waited_for_when_the_sandbox_is_over():
    cancelled = threading.Event()

    async def slow():
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            cancelled.set()
            raise

    with Sandbox(Policy(timeout=0.3), python=PYTHON) as sandbox:
        sandbox.expose(slow)
        started = time.monotonic()
        assert sandbox.run_code("slow()").verdict == "timeout"
        assert time.monotonic() - started < 5 and cancelled.wait(5)


def test_a_coroutine_that_raises_timeout_error_is_not_taken_for_one_that_is_late(sandbox):
    async def fail():
        raise TimeoutError("its own")

    sandbox.expose(fail)
    assert sandbox.run_code("fail()").error.value == "its own"


def test_a_coroutine_may_run_code_that_calls_one(sandbox, template):
    with Sandbox(template=template) as other:

        async def inner(x):
            await asyncio.sleep(0)
            return x + 1

        async def outer(x):
            return other.run_code(f"inner({x})", timeout=5).value

        other.expose(inner)
        sandbox.expose(outer)
        assert sandbox.run_code("outer(4)", timeout=8).value == 5


def test_the_time_limit_of_the_sandbox_holds_while_the_host_works():
    with Sandbox(Policy(timeout=0.3), python=PYTHON) as sandbox:
        sandbox.expose(lambda: time.sleep(0.8), "slow")
        assert sandbox.run_code("slow()").verdict == "timeout"


# ---- Calls that nest ---------------------------------------------------------------------------------------------


@core
def test_running_code_in_the_same_sandbox_is_an_error_and_nothing_breaks(sandbox):
    def again():
        try:
            sandbox.run_code("1")
        except SandboxError as error:
            return str(error)

    sandbox.expose(again)
    assert "waits for the host function" in sandbox.run_code("again()").value
    assert sandbox.run_code("2").value == 2


@core
def test_running_code_in_another_sandbox_works(sandbox, template):
    with Sandbox(template=template) as other:
        other.expose(lambda x: x + 1, "add")
        sandbox.expose(lambda x: other.run_code(f"add({x})").value, "through")
        assert sandbox.run_code("through(4)").value == 5


def test_calls_that_nest_without_end_are_an_error_inside():
    with Template(Policy(timeout=20, memory="64M"), python=PYTHON) as template:
        deepest = []

        def dive(depth):
            deepest.append(depth)
            with Sandbox(template=template) as inner:
                inner.expose(dive)
                error = inner.run_code(f"dive({depth + 1})").error
                if error is not None:
                    raise RecursionError(error.value)

        with Sandbox(template=template) as sandbox:
            sandbox.expose(dive)
            error = sandbox.run_code("dive(1)").error
        assert error.name == "RecursionError" and "32 deep" in error.value
        assert max(deepest) == 32


def test_coroutines_that_nest_without_end_are_an_error_inside(template):
    async def dive(depth):
        await asyncio.sleep(0)
        with Sandbox(template=template) as inner:
            inner.expose(dive)
            error = inner.run_code(f"dive({depth + 1})").error
            if error is not None:
                raise RecursionError(error.value)

    with Sandbox(template=template) as sandbox:
        sandbox.expose(dive)
        error = sandbox.run_code("dive(1)").error
    assert error.name == "RecursionError" and "32 deep" in error.value


def test_threads_of_the_sandbox_may_call(sandbox):
    sandbox.expose(lambda x: x * 2, "double")
    code = """
import threading
found = []
threads = [threading.Thread(target=lambda n=n: found.append(double(n))) for n in range(8)]
for t in threads: t.start()
for t in threads: t.join()
sorted(found)"""
    assert sandbox.run_code(code).value == [n * 2 for n in range(8)]


def test_a_thread_that_calls_between_two_runs_gets_an_error(sandbox):
    sandbox.expose(lambda: 1, "f")
    sandbox.run_code("import threading, time\nsaid = []\ndef later():\n  time.sleep(0.2)\n  try: f()\n  except RuntimeError as e: said.append(str(e))\n"
                     "threading.Thread(target=later).start()")  # fmt: skip
    time.sleep(0.5)
    assert "while it runs code" in sandbox.run_code("said").value[0]
    assert sandbox.run_code("f()").value == 1


def test_a_branch_has_the_functions_with_what_is_left_of_their_budgets(sandbox):
    sandbox.expose(lambda: 1, "f", max_calls=2)
    sandbox.run_code("f()")
    try:
        twin = sandbox.fork()
    except SandboxError as error:
        pytest.skip(str(error))
    with twin:
        assert twin.run_code("f()").value == 1
        assert twin.run_code("f()").error.name == "RuntimeError"
        assert sandbox.run_code("f()").value == 1


def test_a_bad_name_is_refused(sandbox):
    with pytest.raises(ValueError, match="not a name"):
        sandbox.expose(lambda: 1)


@core
@pytest.mark.parametrize("kind", ["plain", "async"])
def test_calls_that_were_queued_are_not_performed_once_the_time_is_over(kind):
    """A guest need not wait for answers: thousands of its calls lie in the channel when it has been ended."""
    performed = []

    def slow():
        performed.append(time.monotonic())
        time.sleep(0.2)

    async def later():
        performed.append(time.monotonic())
        await asyncio.sleep(0.2)

    say = (pathlib.Path(__file__).parent.parent / "limits" / "attacks" / "_say.py").read_text()
    code = (
        "exec(open('/work/say.py').read())\n"
        "message = head(4, 4) + head(4, 0) + text(b'slow') + head(4, 0) + b'\\xa0'\n"
        "for n in range(1, 2001): send(call(message, n))\n"
        "while True: pass\n"
    )
    with Sandbox(Policy(timeout=1), files={"say.py": say}) as sandbox:
        sandbox.expose(slow if kind == "plain" else later, "slow")
        began = time.monotonic()
        assert sandbox.run_code(code).verdict == "timeout"
        took = time.monotonic() - began
    assert 1 <= len(performed) <= 8 and took < 30, (len(performed), took)  # it was 2,000 times 0.2 s or more


@core
@pytest.mark.parametrize("policy", [Policy(), SandboxConfig("stdout")], ids=["open", "language"])
def test_names_of_functions_and_parameters_are_the_hosts_affair(policy):
    def _belljar(dict, _belljars=2, *, list=3, **_belljar_):
        return [dict, _belljars, list, _belljar_]

    with Sandbox(policy) as sandbox:
        sandbox.expose(_belljar)
        sandbox.expose(_belljar, name="dict")
        assert sandbox.run_code("_belljar(1), _belljar(1, 5, list=7, x=8), dict(dict=4)").value == (
            [1, 2, 3, {}], [1, 5, 7, {"x": 8}], [4, 2, 3, {}])  # fmt: skip
