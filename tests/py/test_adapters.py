"""What belljar/adapters is made of, without the packages that it is for. With them: tests/clients/adapters, `make test-clients`."""

import asyncio
import importlib
import importlib.abc
import pathlib
import re
import sys

import pytest

import belljar
from belljar import adapters
from belljar.adapters._looking import PUT_INPUT, complete, describe, how_complete
from belljar.adapters._runner import Runner, report
from belljar.adapters._tables import plain_table

MODULES = sorted(path.stem for path in pathlib.Path(adapters.__file__).parent.glob("[a-z]*.py"))
PACKAGES = {"dask": "dask", "fastmcp": None, "joblib": "joblib", "jupyter": "ipykernel", "langchain": "langchain-core",
            "llamaindex": "llama-index-core", "smolagents": "smolagents"}  # fmt: skip


TOPS = ("dask", "joblib", "ipykernel", "langchain_core", "llama_index", "smolagents", "fastmcp")


class Absent(importlib.abc.MetaPathFinder):
    """Finds that these are not installed, where they are."""

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in TOPS:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


def test_every_adapter_stands_in_the_package_and_has_tests():
    assert MODULES == sorted(PACKAGES) == sorted(re.findall(r"`belljar\.adapters\.(\w+)`", adapters.__doc__))
    tree = pathlib.Path(__file__).parents[2]
    if (tree / "docs").exists():
        text = (tree / "docs/adapters.md").read_text()
        for name in MODULES:
            assert f"belljar.adapters.{name}" in text and (tree / f"tests/clients/adapters/test_{name}.py").exists()


@pytest.mark.parametrize(("name", "package"), sorted(PACKAGES.items()))
def test_an_adapter_without_its_package_says_what_to_install(name, package, monkeypatch):
    for module in [module for module in sys.modules if module.startswith("belljar.adapters.") or module.partition(".")[0] in TOPS]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setattr(sys, "meta_path", [Absent(), *sys.meta_path])
    if package is None:  # it needs nothing: FastMCP asks for an object with a method
        assert importlib.import_module(f"belljar.adapters.{name}")
        return
    with pytest.raises(ModuleNotFoundError, match=f"needs {package}, which is not installed: pip install {package}"):
        importlib.import_module(f"belljar.adapters.{name}")


# ---- A session for an agent


@pytest.fixture(scope="module")
def runner():
    made = Runner()
    yield made
    made.close()


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("6 * 7", "42"),
        ("print('a'); print('b'); 5", "a\nb\n5"),
        ("x = 1", "(no output)"),
        ("import sys; print('oops', file=sys.stderr)", "oops"),
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("print('a')\n1 / 0", "ZeroDivisionError: division by zero"),
        ("open('/etc/shadow')", "Policy(read=['/etc/shadow'])"),
        ("class P:\n    def _repr_png_(self): return b'\\x89PNG\\r\\n\\x1a\\n' + bytes(9)\ndisplay(P())", "[shown: text, png]"),
    ],
)
def test_a_report_has_what_a_model_reads(runner, code, text):
    execution, remark = runner.run(code)
    assert remark == "" and (report(execution) == text or text in report(execution).split("\n", 1)[-1])


def test_a_session_that_ended_is_followed_by_one_with_the_same_functions():
    made = Runner(functions={"price": lambda thing: 3.5})
    made.prepare = lambda sandbox: sandbox.set("prepared", True)
    assert made.run("x = price('tea'); x, prepared")[0].value == (3.5, True)
    assert made.run("x")[1] == ""
    assert made.run("import os; os._exit(3)")[0].verdict != "ok"
    execution, remark = made.run("price('tea'), prepared, 'x' in globals()")
    assert execution.value == (3.5, True, False)
    assert "A new one was begun" in remark and report(execution, remark).startswith(remark)
    made.close()


def test_cancelling_interrupts_the_code_that_was_asked_for_and_no_other():
    async def main():
        began = asyncio.Event()
        loop = asyncio.get_running_loop()
        made = Runner(functions={"begin": lambda: loop.call_soon_threadsafe(began.set) and None})
        await made.arun("n = 1")
        task = asyncio.ensure_future(made.arun("begin()\nwhile True: pass"))
        await began.wait()
        waiting = asyncio.ensure_future(made.arun("n += 1"))
        cancelled = asyncio.ensure_future(made.arun("n += 10"))
        await asyncio.sleep(0)
        cancelled.cancel()  # it has not begun: the first goes on
        await asyncio.sleep(0.2)
        assert not task.done()
        task.cancel()
        for ended in (task, cancelled):
            with pytest.raises(asyncio.CancelledError):
                await ended
        await waiting
        value = (await made.arun("n"))[0].value
        made.close()
        return value

    assert asyncio.run(main()) == 2


# ---- What a notebook's kernel asks

LOOKS = [
    (complete, ("some_na",), ("some_na", ["some_name"])),
    (complete, ("print(some_name.bit_len",), ("some_name.bit_len", ["some_name.bit_length"])),
    (complete, ("import itertoo",), ("itertoo", ["itertools"])),
    (complete, ("x = ",), ("", [])),
    (complete, ("nobody.x",), ("nobody.x", [])),
    (describe, ("nobody", False), None),
    (describe, ("some_name.nobody", False), None),
    (how_complete, ("1 + 1",), ("complete", "")),
    (how_complete, ("await x",), ("complete", "")),
    (how_complete, ("%time x",), ("complete", "")),
    (how_complete, ("for i in x:",), ("incomplete", "    ")),
    (how_complete, ("for i in x:\n    if i:",), ("incomplete", "        ")),
    (how_complete, ("for i in x:\n    print(i)",), ("incomplete", "    ")),
    (how_complete, ("for i in x:\n    print(i)\n",), ("complete", "")),
    (how_complete, ("'''a",), ("incomplete", "")),
    (how_complete, ("1 +* 2",), ("invalid", "")),
    (how_complete, ("\0",), ("invalid", "")),
]


@pytest.fixture(scope="module")
def session():
    with belljar.Sandbox() as sandbox:
        sandbox.run_code("some_name = 5\ndef area(radius, pi=3.14):\n    'The area of a circle.'\n    return pi * radius ** 2")
        yield sandbox


@pytest.mark.parametrize(("function", "arguments", "answer"), LOOKS)
def test_what_a_kernel_asks_is_answered_from_inside(session, function, arguments, answer):
    assert session.call(function, *arguments) == answer


def test_a_description_has_signature_value_and_text(session):
    text = session.call(describe, "area", False)
    assert text.startswith("Signature: area(radius, pi=3.14)\nType: function\n\nThe area of a circle.")
    assert "Value: 5" in session.call(describe, "some_name", False)


def test_looking_leaves_nothing_in_the_session(session):
    before = sorted(session)
    session.call(complete, "so")
    assert sorted(session) == before


def test_input_asks_the_host_and_ends_where_nobody_answers():
    with belljar.Sandbox() as sandbox:
        asked = []
        sandbox.expose(lambda prompt: (asked.append(prompt), "blue" if len(asked) == 1 else None)[1], "_belljar_input")
        sandbox.run_code(PUT_INPUT)
        assert sandbox.run_code("input('colour? ')").value == "blue" and asked == ["colour? "]
        assert sandbox.run_code("input()").error.name == "EOFError"


# ---- Tables

TABLES = [
    ("<table><tr><td>1</td></tr></table>", "<table><tr><td>1</td></tr></table>"),
    ("<p>before</p><table><tr><th colspan=2>a</th></tr></table>after", '<table><tr><th colspan="2">a</th></tr></table>'),
    ("<table border=1 class=x onclick=x() style='a'><tr><td>1</table>", "<table><tr><td>1</td></tr></table>"),
    ("<table><tr><td><script>x()</script><b>bold</b></td></tr></table>", "<table><tr><td>bold</td></tr></table>"),
    ("<table><tr><td><img src=x onerror=x()>&lt;script&gt;</td></tr></table>", "<table><tr><td>&lt;script&gt;</td></tr></table>"),
    ("<table><td rowspan='1\" onclick=\"x()'>1</td></table>", "<table><td>1</td></table>"),
    ("<table><tr><td><a href='javascript:x()'>link</a></td></tr></table>", "<table><tr><td>link</td></tr></table>"),
    ("<table><style>a{}</style><tr><td><svg onload=x()><td>no</td></svg>1</td></tr></table>", "<table><tr><td>1</td></tr></table>"),
    ("<table><tr><td>1<!-- <script>x()</script> --></td></tr></table>", "<table><tr><td>1</td></tr></table>"),
    ("<table><tr><td>open", "<table><tr><td>open</td></tr></table>"),
    ("</table></td><table><td>1</table></table>", "<table><td>1</td></table>"),
    ("<script>x()</script>", ""),
    ("<table>" + "x" * (5 << 20), ""),
]


@pytest.mark.parametrize(("text", "table"), TABLES)
def test_of_html_its_tables_are_left(text, table):
    assert plain_table(text) == table
