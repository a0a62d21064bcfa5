"""docs/manners.md: what people who come from E2B, Jupyter and Monty expect. Each row of its table is a function here."""

from __future__ import annotations

import asyncio
import inspect
import json
import os
import pathlib
import pickle
import re
import subprocess
import sys
import tempfile
import threading

import pytest

import belljar
from belljar import AsyncSandbox, Sandbox

TREE = pathlib.Path(__file__).parents[2]
COMMAND = str(pathlib.Path(os.environ.get("BELLJAR_BUILD", TREE / "build")) / "belljar")
PAGE = TREE / "docs/manners.md"
PYTHON = "/usr/bin/python3"
FULL, PARTLY, NOT = "●◐○"
ROWS = {}


def row(mark):
    """A row of the table: its mark, and the function that shows it, whose name the page has."""

    def add(function):
        ROWS[function.__name__] = (mark, function)
        return function

    return add


def command(*words, check=0, **options):
    """Runs the command: what it wrote."""
    done = subprocess.run(
        [COMMAND, *map(str, words)], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120, **options
    )
    assert done.returncode == check, done.stderr or done.stdout
    return done.stdout + done.stderr


# ---- To begin ----------------------------------------------------------------------------------------------------------


@row(PARTLY)
def wheel():
    project = (TREE / "pyproject.toml").read_text()
    assert "limited-api = true" in project and 'belljar = "belljar.__main__:main"' in project
    assert all(".abi3." in path.name for path in pathlib.Path(COMMAND).parent.glob("*belljar*.so") if "lib" not in path.name)
    environment = {**os.environ, "BELLJAR_GUEST_PYTHON": PYTHON}
    done = subprocess.run([sys.executable, "-m", "belljar", "--version"], capture_output=True, text=True, env=environment)
    assert done.stdout.startswith("belljar ")


@row(FULL)
def keywords():
    with Sandbox.create(timeout=9, memory="256M", envs={"A": "1"}, python=PYTHON) as made:
        assert made.policy.options["timeout"] == 9 and made.run_code("import os; os.environ['A']").value == "1"
    with pytest.raises(belljar.PolicyError, match='not the text "3"'):
        Sandbox(timeout="3")


@row(PARTLY)
def packages(sandbox):
    listed = belljar.packages(python=PYTHON)
    assert sandbox.run_code("!pip list").stdout.count("\n") >= len(listed) > 0
    assert "nothing can be installed here" in sandbox.run_code("!pip install no-such-thing").stderr
    assert "--python VENV/bin/python3" in sandbox.run_code("import no_such_thing").error.value


@row(NOT)
def image():
    assert not [*TREE.glob("*ockerfile*"), *TREE.glob("compose.y*ml")]


@row(NOT)
def machines(sandbox):
    assert sandbox.run_code("import os, sys; sys.platform, os.uname().machine").value == ("linux", "x86_64")


# ---- Code ---------------------------------------------------------------------------------------------------------------


@row(FULL)
def folder(sandbox):
    sandbox.files["in/data.txt"] = "here"
    assert sandbox.run_code("open('data.txt').read()", cwd="/work/in").value == "here"
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        pathlib.Path(folder, "data.txt").write_text("beside")
        pathlib.Path(folder, "main.py").write_text("print(open('data.txt').read())")
        for path in pathlib.Path(folder).iterdir():
            path.chmod(0o644)
        assert command("run", "main.py", cwd=folder) == "beside\n"


@row(FULL)
def environment(sandbox):
    assert sandbox.run_code("import os; os.environ['A']", envs={"A": "for this run"}).value == "for this run"
    assert sandbox.run_code("os.environ.get('A')").value is None
    assert command("run", "--env", "A=1", "-c", "import os; print(os.environ['A'])") == "1\n"


@row(FULL)
def awaiting(sandbox):
    assert sandbox.run_code("import asyncio\nawait asyncio.gather(asyncio.sleep(0, 1), asyncio.sleep(0, 2))").value == [1, 2]


@row(FULL)
def indented(sandbox):
    assert sandbox.run_code("    x = 1\n    x + 1\n").value == 2


@row(FULL)
def last_value(sandbox):
    assert sandbox.run_code("6 * 7").text == "42" and sandbox.run_code("_ + 1").value == 43


@row(FULL)
def counts(sandbox):
    first, second = sandbox.run_code("def f():\n    return 1 / 0"), sandbox.run_code("f()")
    assert (first.execution_count, second.execution_count) == (1, 2)
    assert '"<cell 1>", line 2' in second.error.traceback and "return 1 / 0" in second.error.traceback


@row(FULL)
def errors(sandbox):
    error = sandbox.run_code("{}['x']").error
    assert (error.name, error.value) == ("KeyError", "'x'") and error.traceback.startswith("Traceback")
    with pytest.raises(KeyError):
        sandbox.run_code("{}['x']").raise_for_error()


@row(FULL)
def streamed(sandbox):
    seen = []
    sandbox.run_code("import sys\nprint('out')\nprint('err', file=sys.stderr)\n5", on_stdout=seen.append,
                     on_stderr=seen.append, on_result=lambda result: seen.append(result.text))  # fmt: skip
    assert sorted(map(str.strip, seen)) == ["5", "err", "out"]


@row(FULL)
def rich(sandbox):
    png = "b'\\x89PNG\\r\\n\\x1a\\n' + bytes(9)"
    shown = sandbox.run_code(
        f"class P:\n  def _repr_png_(self): return {png}\n  def _repr_html_(self): return '<b>'\ndisplay(P())\nP()"
    )
    assert [result.is_main_result for result in shown.results] == [False, True]
    assert all(result.png and result.html == "<b>" for result in shown.results)


@row(FULL)
def asked(sandbox, template):
    assert sandbox.run_code("input('? ')").error.name == "EOFError"
    with Sandbox(template=template, stdin=lambda prompt: prompt.upper()) as answered:
        assert answered.run_code("input('name')").value == "NAME"


@row(PARTLY)
def magics(sandbox):
    assert "per loop" in sandbox.run_code("%timeit -n 1 -r 1 1").stdout
    assert sandbox.run_code("%cd /tmp\n%pwd").value == "/tmp"
    assert "use os.listdir()" in sandbox.run_code("!ls").error.value


@row(NOT)
def programs(sandbox):
    refused = sandbox.run_code("import subprocess; subprocess.run(['ls'])")
    assert refused.error.name == "PermissionError" and refused.violations[0].rule == "processes"


# ---- Limits ---------------------------------------------------------------------------------------------------------------


@row(FULL)
def time_limit(sandbox):
    sandbox["kept"] = 42
    assert sandbox.run_code("while True: pass", timeout=0.3).verdict == "timeout" and sandbox["kept"] == 42


@row(FULL)
def interrupted(sandbox):
    sandbox["kept"] = 42
    over = sandbox.run_code("print('begun')\nwhile True: pass", on_stdout=lambda text: sandbox.interrupt())
    assert over.error.name == "KeyboardInterrupt" and sandbox["kept"] == 42


@row(FULL)
def left(sandbox):
    for _ in sandbox.stream("kept = 42\nprint('x')\nwhile True: pass"):
        break
    assert sandbox["kept"] == 42


@row(FULL)
def used(sandbox):
    found = []
    sandbox.run_code("held = bytearray(50 << 20)\nprint('made')", on_stdout=lambda text: found.append(sandbox.usage()))
    assert found[0].peak_bytes > 50 << 20 and sandbox.usage().wall_ms > 0


@row(FULL)
def repeated():
    code = "import random, time; print(random.random(), hash('a'), time.strftime('%Y-%m-%d'))"
    first, second = (command("run", "--seed", 7, "--start-time", "2020-01-31", "-c", code) for _ in range(2))
    assert first == second and first.endswith("2020-01-31\n")


# ---- What stays -----------------------------------------------------------------------------------------------------------


@row(FULL)
def contexts(sandbox):
    other = sandbox.context("other")
    sandbox["x"], other["x"] = 1, 2
    other.files["a.txt"] = "shared"
    assert other.run_code("while True: pass", timeout=0.3).verdict == "timeout"
    assert (sandbox["x"], other["x"]) == (1, 2) and sandbox.run_code("open('a.txt').read()").value == "shared"


@row(FULL)
def paused(sandbox):
    sandbox["kept"] = 42
    sandbox.freeze()
    with pytest.raises(belljar.SandboxError, match="thaw"):
        sandbox.run_code("1")
    sandbox.thaw()
    assert sandbox["kept"] == 42


@row(FULL)
def saved(sandbox, template):
    sandbox.files["a.txt"] = "a"
    sandbox.run_code("x = {'a': [1, (2, 3)]}\nimport math\ndef f(): return math.pi\nheld = open('a.txt')")
    with tempfile.TemporaryDirectory() as folder:
        lost = sandbox.export(f"{folder}/session")
        assert list(lost) == ["held"]
        with Sandbox.load(f"{folder}/session", template=template) as again:
            assert again["x"] == {"a": [1, (2, 3)]} and again.files["a.txt"] == b"a"
            assert again.run_code("round(f(), 2)").value == 3.14


@row(FULL)
def forked(sandbox):
    sandbox["x"] = [1]
    try:
        twin = sandbox.fork()
    except belljar.SandboxError as error:
        assert error.step == "fork"
        pytest.skip(f"this machine forks no session: {error}")
    with twin:
        twin.run_code("x.append(2)")
        assert (sandbox["x"], twin["x"]) == ([1], [1, 2])


@row(NOT)
def found_again(sandbox):
    assert not hasattr(sandbox, "sandbox_id") and not hasattr(Sandbox, "connect")


@row(FULL)
def file_calls(sandbox):
    files = sandbox.files
    files["in/a.txt"] = "a"
    assert files["in/a.txt"] == b"a" and "in/a.txt" in files and files.list("in") != []
    del files["in/a.txt"]
    assert "in/a.txt" not in files and files.list("in") == []
    with pytest.raises(FileNotFoundError, match="none"):
        files.list("none")


@row(FULL)
def handed():
    with tempfile.TemporaryDirectory() as folder:
        pathlib.Path(folder, "a.csv").write_text("1,2")
        command("run", "--file", "a.csv:b.csv", "--out", "made", "-c", "open('c.csv', 'w').write(open('b.csv').read())", cwd=folder)
        assert pathlib.Path(folder, "made/c.csv").read_text() == "1,2"


# ---- With the program around it ----------------------------------------------------------------------------------------------


@row(FULL)
def functions(sandbox):
    def price(thing: str) -> float:
        return {"tea": 3.5}[thing]

    sandbox.expose(price)
    assert sandbox.run_code("price('tea')").value == 3.5 and sandbox.run_code("price('x')").error.name == "KeyError"


@row(FULL)
def side_by_side(sandbox):
    here = threading.Barrier(3, timeout=60)
    sandbox.expose(lambda: here.wait() >= 0, "meet")
    code = "import asyncio\nawait asyncio.gather(*[asyncio.to_thread(meet) for _ in range(3)])"
    assert sandbox.run_code(code).value == [True] * 3


@row(FULL)
def inputs(sandbox):
    sandbox["rows"] = [{"a": 1}]
    assert sandbox.run_code("rows + [{'a': 2}]").value == [{"a": 1}, {"a": 2}]


@row(FULL)
def views(sandbox):
    numbers = [1, 2, 3]
    sandbox["numbers"] = belljar.readonly(numbers)
    assert sandbox.run_code("sum(numbers)").value == 6 and sandbox.run_code("numbers.append(4)").error and len(numbers) == 3


@row(FULL)
def loops(sandbox, template):
    async def main():
        async with AsyncSandbox(template=template) as made:
            runs = made.run_code("6 * 7"), made.context("other").run_code("7 * 8")
            return [execution.value for execution in await asyncio.gather(*runs)]

    assert asyncio.run(main()) == [42, 56]


@row(FULL)
def pickled(sandbox):
    made = sandbox.run_code("print('out'); display(1); 42")
    copy = pickle.loads(pickle.dumps(made))
    assert (copy.value, copy.stdout, copy.ok, [r.text for r in copy.results]) == (42, "out\n", True, [r.text for r in made.results])


@row(NOT)
def network(sandbox):
    assert sandbox.run_code("import urllib.request as u; u.urlopen('http://example.org')").violations[0].rule == "network"
    assert "there is no network" in command("run", "--network", "-c", "1", check=2)


@row(NOT)
def http():
    assert "not implemented yet" in command("serve", check=125)


@row(FULL)
def kernel():
    stub = f"{pathlib.Path(__file__).with_name('jupyter_stub')}:{os.environ.get('PYTHONPATH', '')}"
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "BELLJAR_PYTHON": PYTHON, "PYTHONPATH": stub, "JUPYTER_DATA_DIR": folder}
        assert command("kernel", "install", env=environment) == f"{folder}/kernels/belljar\n"


@row(FULL)
def mcp():
    ask = {"jsonrpc": "2.0", "id": 1, "method": "initialize",
           "params": {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}}  # fmt: skip
    done = subprocess.run([COMMAND, "mcp"], input=json.dumps(ask) + "\n", capture_output=True, text=True, timeout=120)
    assert json.loads(done.stdout.splitlines()[0])["result"]["serverInfo"]["name"] == "belljar"


# ---- The table ---------------------------------------------------------------------------------------------------------------


def printed():
    """The page's rows: name of the test → mark, what it says of the others, how."""
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in PAGE.read_text().splitlines() if line.startswith("| ")
    ]
    return {cells[-1].strip("`"): cells for cells in rows if len(cells) == 7 and re.fullmatch(r"`\w+`", cells[-1])}


@pytest.mark.skipif(not PAGE.exists(), reason="the documentation is not here")
def test_the_page_has_the_rows_that_are_tested_and_their_marks():
    rows = printed()
    assert {name: cells[4] for name, cells in rows.items()} == {name: mark for name, (mark, _) in ROWS.items()}
    assert [*rows] == [*ROWS], "in the same order"
    for name, cells in rows.items():
        assert all(cell in (FULL, PARTLY, NOT, "–") for cell in cells[1:5]) and cells[0] and cells[5], name
        assert cells[5].startswith("later") == (cells[4] == NOT), name


@pytest.mark.core
@pytest.mark.parametrize("name", ROWS)
def test_manner(name, request):
    function = ROWS[name][1]
    function(*map(request.getfixturevalue, inspect.signature(function).parameters))
