"""`belljar check` and SandboxConfig.check(): what a policy would refuse, seen in a text that does not run."""

import contextlib
import json
import os
import pathlib
import subprocess

import pytest

from belljar import Sandbox, SandboxConfig
from belljar._reading import read_text
from belljar.check import judge_rows

BUILD = pathlib.Path(os.environ.get("BELLJAR_BUILD", pathlib.Path(__file__).resolve().parents[2] / "build"))
COMMAND = str(BUILD / "belljar")

# (text, features, what is found: (line, column, kind, a part of the text))
ROWS = [
    ("import os, json\n", "everyday", [(1, 8, "import", "allow_module")]),
    ("from math import sqrt, nothing\n", "math", [(1, 24, "from", "allow_safe_module")]),
    ("from os.path import join\n", "", [(1, 21, "from", 'Import "os.path"')]),
    (
        "from urllib import parse\nimport urllib.parse as p\np.quote\np.nothing\n",
        "everyday",
        [(4, 1, "symbol", "'nothing' in 'urllib.parse'")],
    ),
    ("import math as m\nm.pi\nm.floor(m.secret)\n", "math", [(3, 9, "symbol", "'secret' in 'math'")]),
    ("import math\nmath = 3\nmath.real\n", "math", []),
    ("input()\ndef f(input): return input\n", "", [(1, 1, "name", "the feature stdin")]),
    (
        "def f():\n    quit = 1\n    return quit\nclass A:\n    exit = 2\n    def g(self): return quit\n",
        "",
        [(6, 25, "name", "the feature exit")],
    ),
    ("try: pass\nexcept KeyboardInterrupt: pass\n", "stdout", [(2, 8, "name", "the feature exit")]),
    (
        "f = lambda: 0\nf.__globals__\ngetattr(f, '__code__')\nf.name\n",
        "",
        [(2, 1, "attribute", "nothing permits"), (3, 12, "attribute", "__code__")],
    ),
    ("try: pass\nexcept Exception as e: e.__cause__\n", "", [(2, 24, "attribute", "the feature traceback")]),
    ("try: pass\nexcept Exception as e: e.__cause__\n", "traceback", []),
    ("print(1)\n", "", [(1, 1, "print", "the feature stdout or everyday")]),
    ("print(1)\nimport io\nprint(2, file=io.StringIO())\n", "everyday", []),
    (
        "open('/etc/hosts')\nopen('x', 'w')\nopen(name)\n",
        "",
        [(1, 1, "open", "allow_path('/etc/hosts')"), (2, 1, "open", "writing")],
    ),
    ("'{0.__class__} {x}'.format(1)\n'{__x__}'.format(__x__=1)\n", "", [(1, 1, "format", "nothing permits")]),
    ("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import socket\n", "everyday", []),
    ("x = [y for y in (1, 2)]\nmatch x:\n    case [a, *b]: a, b\n", "", []),
    ("x = (1,\n", "", [(1, 5, "syntax", "SyntaxError: '(' was never closed")]),
    ("", "", []),
]


def config_of(features):
    return SandboxConfig(*features.split())


@pytest.mark.parametrize(("text", "features", "expected"), ROWS, ids=[row[0][:24].replace("\n", ";") for row in ROWS])
def test_what_is_refused_is_found_by_line_and_no_more(text, features, expected):
    found = judge_rows(config_of(features).to_dict(), read_text(text.encode()))
    assert [(one.line, one.column, one.kind) for one in found] == [row[:3] for row in expected], found
    for one, (*_, part) in zip(found, expected, strict=True):
        assert part in one.text


# Cells of a session: (text, features, what is found in a cell, the kinds that are found in a script beside)
CELLS = [
    ("await f()\n", "asyncio", [], ["await"]),
    ("await f()\n", "everyday", [(1, 1, "await", "the feature asyncio")], ["await"]),
    ("async with a: pass\nasync for b in a: pass\nx = [c async for c in a]\n", "everyday",
     [(1, 1, "await", "asyncio"), (2, 1, "await", "asyncio"), (3, 18, "await", "asyncio")], ["await"] * 3),
    ("async def f(): await g()\nlambda: 1\n", "", [], []),
    ("import asyncio\nawait asyncio.sleep(1)\n", "", [(1, 8, "import", "the feature asyncio"), (2, 1, "await", "the feature asyncio")], ["await"]),
    ("def f(): await g()\n", "asyncio", [(1, 10, "syntax", "outside async function")], ["syntax"]),
    ("    import os\n    x = 1\n", "everyday", [(1, 12, "import", "os")], ["indent"]),
    ("  # note\n  x = 1\n\n  y = quit\n", "", [(4, 7, "name", "the feature exit")], ["indent"]),
    ("  x = 1\n y = 2\n", "", [(2, 3, "syntax", "unexpected indent")], ["indent", "syntax"]),
    ("import os\n  x = 1\n", "", [(2, 2, "syntax", "unexpected indent")], ["syntax"]),
    ("%matplotlib inline\nimport os\n", "everyday", [(1, 1, "line", "IPython's"), (2, 8, "import", "os")], ["line"]),
    ("for i in range(3):\n    %timeit i\nx = !ls\nmath?\n", "everyday", [(2, 5, "line", "IPython"), (3, 1, "line", "IPython"), (4, 1, "line", "IPython")],
     ["line"] * 3),
    ("%%time\nimport os\n", "everyday", [(1, 1, "line", "write Python"), (2, 8, "import", "os")], ["line"]),
    ("\n%%bash\nls | wc\n", "everyday", [(2, 1, "line", "write Python")], ["line"]),
    ("!ls\nx = (\n", "everyday", [(1, 1, "line", "IPython"), (2, 5, "syntax", "never closed")], ["line", "syntax"]),
    ("x = (10\n% 3)\ny = 7 % 2\n'''\n!ls\n'''\n", "", [], []),
    ("return 5\n", "", [(1, 1, "syntax", "'return' outside function")], ["syntax"]),
    ("for i in x:\n    pass\nbreak\n", "", [(3, 1, "syntax", "'break' outside loop")], ["syntax"]),
]  # fmt: skip
IN_SESSIONS = [row[:2] for row in CELLS if "os" not in row[0]]


@pytest.mark.parametrize(
    ("text", "features", "expected", "of_script"), CELLS, ids=[row[0][:24].replace("\n", ";") for row in CELLS]
)
def test_what_is_typed_into_notebooks_is_read_as_a_session_reads_it(text, features, expected, of_script):
    language, rows = config_of(features).to_dict(), read_text(text.encode())
    found = judge_rows(language, rows)
    assert [(one.line, one.column, one.kind) for one in found] == [row[:3] for row in expected], found
    assert all(row[3] in one.text for one, row in zip(found, expected, strict=True)), found
    kinds = [one.kind for one in judge_rows(language, rows, is_cell=False)]
    assert [kind for kind in kinds if kind in ("await", "line", "indent", "syntax")] == of_script


@pytest.fixture(scope="module")
def sessions():
    with contextlib.ExitStack() as stack:
        yield {features: stack.enter_context(Sandbox(config_of(features))) for features in {row[1] for row in IN_SESSIONS}}


@pytest.mark.parametrize(("text", "features"), IN_SESSIONS, ids=[row[0][:24].replace("\n", ";") for row in IN_SESSIONS])
def test_a_session_refuses_the_syntax_that_check_refuses(sessions, text, features):
    found = [one for one in judge_rows(config_of(features).to_dict(), read_text(text.encode()))
             if one.kind in ("await", "line", "syntax")]  # fmt: skip
    error = sessions[features].run_code(text).error
    is_syntax = error is not None and error.name in ("SyntaxError", "IndentationError")
    assert is_syntax == bool(found), (error, found)
    if found and found[0].kind == "await":
        assert error.value.partition(";")[2] == found[0].text.partition(";")[2]
    if found and [one.kind for one in found] == ["line"]:
        assert error.value in found[0].text


def test_a_subclass_of_a_view_is_found_and_one_of_the_thing_itself_is_not():
    text = "import json\nclass E(json.JSONEncoder): pass\n"
    config = SandboxConfig()
    config.allow_module("json", "JSONEncoder")
    assert ["allow_safe_module" in one.text for one in judge_rows(config.to_dict(), read_text(text.encode()))] == [True]
    assert judge_rows(SandboxConfig("everyday").to_dict(), read_text(text.encode())) == []


def test_a_text_is_read_in_a_sandbox_and_nothing_of_it_runs():
    found = SandboxConfig("everyday").check("import os\nwhile True: os.fork()\n")
    assert [(one.line, one.kind) for one in found] == [(1, "import")] and str(found[0]).startswith('1:8: Import "os" blocked')
    assert SandboxConfig("everyday").check(b"raise ValueError\n") == []
    assert [one.kind for one in SandboxConfig("asyncio").check("    await f()\n    %time 1\n")] == ["line"]


BAD = {
    "deep": ("(" * 5000 + ")" * 5000, "syntax"),
    "minus": ("x = " + "-" * 200000 + "1", "syntax"),
    "null": ("x = 1\0", "syntax"),
    "latin": (b"x = '\xe9'", "syntax"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_no_parser_reads_is_said_to_be_so(name):
    text, kind = BAD[name]
    assert [one.kind for one in SandboxConfig().check(text)] == [kind]


def test_a_text_that_is_too_large_is_refused():
    with pytest.raises(ValueError, match="larger than 32 MiB"):
        SandboxConfig().check(" " * (33 << 20))


def check(*arguments):
    return subprocess.run(
        [COMMAND, "check", *map(str, arguments)], capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL
    )


def test_the_command_prints_a_line_for_each_and_exits_as_a_linter(tmp_path):
    script, clean = tmp_path / "job.py", tmp_path / "clean.py"
    script.write_text("await f()\n%time 1\n")
    done = check("--feature", "asyncio", script)
    assert done.returncode == 1 and [line.split(" ")[0] for line in done.stdout.splitlines()] == [
        f"{script}:1:1:",
        f"{script}:2:1:",
    ]
    script.write_text("import os\nimport json\n")
    clean.write_text("import json\nprint(json.dumps(1))\n")
    done = check("--feature", "everyday", script, clean)
    assert done.returncode == 1
    assert (
        done.stdout.startswith(f'{script}:1:8: Import "os" blocked by the sandbox; to permit it: ') and done.stdout.count("\n") == 1
    )
    done = check("--feature", "everyday", clean)
    assert (done.returncode, done.stdout) == (0, "")
    done = check("--json", "--feature", "everyday", "--allow-module", "os:sep", script)
    assert (done.returncode, json.loads(done.stdout)) == (0, {str(script): []})
    done = check("--json", script)
    assert done.returncode == 1 and [row["name"] for row in json.loads(done.stdout)[str(script)]] == ["os", "json"]


def test_what_cannot_be_read_is_a_usage_error(tmp_path):
    binary = tmp_path / "binary"
    binary.write_bytes(b"\0\xff\xfe\x80")
    for arguments, said in (([binary], "cannot be decoded"), ([tmp_path / "gone.py"], "cannot read"), ([tmp_path], "cannot read"), ([], "nothing to check"),
                            (["--feature", "evryday", binary], "")):  # fmt: skip
        done = check(*arguments)
        assert (done.returncode, done.stdout) == (2, "") and said in done.stderr, done.stderr


def test_the_policy_of_a_file_is_taken(tmp_path):
    (tmp_path / "policy.json").write_text('{"feature": ["math"], "allow_safe_module": ["json:loads"], "recursion_limit": 300}')
    (tmp_path / "job.py").write_text("import math, json\njson.loads(json.dumps(math.pi))\n")
    done = check("--policy", tmp_path / "policy.json", tmp_path / "job.py")
    assert done.returncode == 1 and done.stdout.count("\n") == 1 and "'dumps' in 'json'" in done.stdout
