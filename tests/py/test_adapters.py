"""What belljar/adapters is made of, without the packages that it is for. With them: tests/clients/adapters, `make test-clients`."""

import asyncio
import importlib
import importlib.abc
import json
import os
import pathlib
import re
import subprocess
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


# ---- belljar kernel

COMMAND = str(pathlib.Path(os.environ.get("BELLJAR_BUILD", "build")) / "belljar")
PYTHON = "/usr/bin/python3"
PATHS = os.environ.get("PYTHONPATH", "")


def kernel(*words, check=0, paths=None, **environment):
    """Runs `belljar kernel`: its output."""
    stub = str(pathlib.Path(__file__).with_name("jupyter_stub"))
    env = {**os.environ, "BELLJAR_PYTHON": PYTHON, "PYTHONPATH": f"{stub if paths is None else paths}:{PATHS}", **environment}
    done = subprocess.run(
        [COMMAND, "kernel", *words], env=env, capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL
    )
    assert done.returncode == check, (words, done.stdout, done.stderr)
    return done.stdout + done.stderr


def test_a_kernel_is_installed_listed_and_taken_away(tmp_path):
    data = {"JUPYTER_DATA_DIR": str(tmp_path)}
    assert kernel("list", **data) == ""
    assert kernel("install", **data) == f"{tmp_path}/kernels/belljar\n"
    kernel("--name", "lab", "install", "--memory", "300M", "--timeout", "7", "--preload", "json", "--rich", **data)
    assert kernel("list", **data) == f"belljar  {tmp_path}/kernels/belljar\nlab  {tmp_path}/kernels/lab\n"
    for name, timeout, memory, preload, is_rich in (("belljar", 0, 512, [], False), ("lab", 7, 300, ["json"], True)):
        argv = json.loads((tmp_path / f"kernels/{name}/kernel.json").read_text())["argv"]
        policy = json.loads((tmp_path / f"kernels/{name}/policy.json").read_text())
        assert (policy["timeout"], policy["memory"], policy["preload"]) == (timeout, memory << 20, preload)
        # -P: a json.py beside the notebook is none of the kernel's.
        assert argv[0].endswith("python3") and argv[1] == "-P" and ("--rich" in argv) == is_rich
    (tmp_path / "kernels/other").mkdir()
    (tmp_path / "kernels/other/kernel.json").write_text('{"argv": ["python3", "-m", "ipykernel_launcher"]}')
    assert "other" not in kernel("list", **data)
    assert "no kernel of belljar's" in kernel("uninstall", "--name", "other", check=2, **data)
    assert kernel("uninstall", "--name", "lab", **data) == f"{tmp_path}/kernels/lab\n"
    assert [path.name for path in sorted((tmp_path / "kernels").iterdir())] == ["belljar", "other"]


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        ([], 2, "needs a word: belljar kernel install|uninstall|list"),
        (["instal"], 2, "does not know instal: write belljar kernel install"),
        (["install", "more"], 2, "takes no argument (it was given more)"),
        (["install", "--system", "--sys-prefix"], 2, "contradict each other"),
        (["install", "--memory", "1"], 2, "--memory: a size between"),
        (["install", "--preload", "no_such_module"], 125, "cannot import no_such_module"),
        (["install", "--network"], 2, "--network needs a value: --network self"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, list) else "",
)
def test_a_kernel_that_cannot_be_installed_says_why_and_is_not(tmp_path, words, status, said):
    assert said in kernel(*words, check=status, JUPYTER_DATA_DIR=str(tmp_path))
    assert not [*tmp_path.iterdir()]


def test_without_ipykernel_the_command_names_the_interpreter_and_what_to_type(tmp_path):
    (tmp_path / "ipykernel.py").write_text("raise ModuleNotFoundError(\"No module named 'ipykernel'\", name='ipykernel')")
    said = kernel("install", check=125, paths=tmp_path)
    assert re.search(r"needs ipykernel, which (\S+) does not have: \1 -m pip install ipykernel\n$", said), said
