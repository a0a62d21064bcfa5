"""The feature `everyday`: for each module of it one real use, one subclass and one error path, as plain CPython does it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from functools import cache

import pytest
from conftest import HERE, SandboxConfig, load_module

EVERYDAY = load_module("belljar._shared.everyday").EVERYDAY

# Runs every program of a dict of them, each in a namespace of its own, and prints what each printed.
RUN_ALL = """
import contextlib, io, json, sys, types
printed = {}
for name, source in json.load(sys.stdin).items():
    out = io.StringIO()
    sys.modules["__main__"] = module = types.ModuleType("__main__")
    with contextlib.redirect_stdout(out):
        exec(compile(source, name, "exec", dont_inherit=True), module.__dict__)
    printed[name] = out.getvalue()
    import logging
    logging.getLogger().handlers.clear()
print(json.dumps(printed))
"""


def read_cases(name: str) -> dict[str, str]:
    text = (HERE / "everyday" / name).read_text()
    parts = [part.partition("\n") for part in ("\n" + text).split("\n==== ")[1:]]
    return {title: source + "\n" for title, _, source in parts}


CASES = read_cases("modules.txt")


@cache
def plain_outputs(python: str) -> dict[str, str]:
    done = subprocess.run(
        [python, "-I", "-X", "utf8", "-c", RUN_ALL], input=json.dumps(CASES), capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    outputs: dict[str, str] = json.loads(done.stdout)
    return outputs


@pytest.fixture(scope="module")
def templates() -> Iterator[dict[str, object]]:
    made: dict[str, object] = {}
    yield made
    for template in made.values():
        template.close()  # type: ignore[attr-defined]


@pytest.mark.parametrize("case", CASES)
def test_a_module_works_as_in_plain_python(case: str, python: str, templates: dict[str, object]) -> None:
    belljar = pytest.importorskip("belljar")
    if python not in templates:
        templates[python] = belljar.Template(belljar.Policy(feature=["everyday"]), python=python)
    done = templates[python].run(CASES[case])  # type: ignore[attr-defined]
    assert done.error is None, done.error.traceback
    assert done.stdout == plain_outputs(python)[case]


PROGRAMS = sorted(path.stem for path in (HERE / "everyday" / "programs").glob("*.py"))


@pytest.mark.parametrize("name", PROGRAMS)
def test_an_honest_program_runs_unchanged(name: str, python: str, templates: dict[str, object]) -> None:
    belljar = pytest.importorskip("belljar")
    path = HERE / "everyday" / "programs" / f"{name}.py"
    plain = subprocess.run([python, "-I", "-X", "utf8", path], capture_output=True, text=True, check=True, timeout=60)
    kind = f"{python} asyncio" if name == "tasks" else python
    if kind not in templates:
        features = ["everyday", "asyncio"] if name == "tasks" else ["everyday"]
        templates[kind] = belljar.Template(belljar.Policy(feature=features), python=python)
    done = templates[kind].run(path.read_text())  # type: ignore[attr-defined]
    assert done.error is None, done.error.traceback
    assert done.stdout == plain.stdout


def test_every_module_of_the_preset_is_in_the_sweep_three_times() -> None:
    modules = {name for name, _, _ in EVERYDAY} - {"json.decoder", "json.encoder"} | {"datetime", "hashlib", "itertools", "time"}
    assert set(CASES) == {f"{name} {kind}" for name in modules for kind in ("use", "subclass", "error")}


# What the modules' own ways in would give: (program, the error that it ends with)
ATTACKS = {
    "a field's name is source text": (
        "from dataclasses import dataclass\nclass A:\n    __annotations__ = {'x: int = __import__(\"os\"), y': int}\ndataclass(A)",
        ("ImportError", "SyntaxError", "KeyError"),
    ),
    "a field lies about its name": (
        "import dataclasses\ndataclasses.Field.name = property(lambda f: 'x=__import__(\"os\"),', lambda f, v: None)\n"
        "@dataclasses.dataclass\nclass A:\n    x: int",
        ("ImportError", "SyntaxError"),
    ),
    "a field's name is hidden": (
        "import dataclasses\n@dataclasses.dataclass\nclass F:\n    x: int\nfs = {'a': dataclasses.fields(F)[0]}\nfs['a'].name = '__mro__'\n"
        "class Meta(type):\n    __dataclass_fields__ = fs\nclass B(metaclass=Meta): pass\ndataclasses.replace(B)",
        ("AttributeError",),
    ),
    "pprint keeps a stream": ("import pprint\npprint.PrettyPrinter()._stream.buffer", ("AttributeError",)),
    "logging keeps a stream": ("import logging\nlogging.StreamHandler().stream.buffer", ("AttributeError",)),
    "logging opens a file": ("import logging\nlogging.basicConfig(filename='/tmp/x')", ("PermissionError",)),
    "enum writes into modules": ("from enum import IntEnum\nIntEnum._convert_('X', 'os', lambda n: True)", ("KeyError", "AttributeError")),
    "redirect_stdout reads sys": ("from contextlib import redirect_stdout", ("ImportError",)),
    "singledispatch evaluates": ("from functools import singledispatch", ("ImportError",)),
    "get_type_hints evaluates": ("from typing import get_type_hints", ("ImportError",)),
    "Formatter reads attributes": ("from string import Formatter", ("ImportError",)),
    "a module's own imports": ("import copy\ncopy.copyreg", ("AttributeError",)),
    "json's other modules": ("from json import scanner", ("ImportError",)),
    "json's decoder shows its error only": ("import json\njson.decoder.scanner", ("AttributeError",)),
    "urllib's other modules": ("import urllib.request", ("ImportError",)),
    "attrgetter": ("import operator\noperator.attrgetter('__globals__')(lambda: 0)", ("AttributeError",)),
    "bases of classes": ("import random\nclass R(random.Random): pass\nR.__mro__", ("AttributeError",)),
    "copy of a module": ("import copy, math\ncopy.copy(math)", ("TypeError",)),
    "copy sets the state of a type": ("import copy\nclass A:\n    def __reduce__(self): return type, (3,), {'x': 1}\ncopy.copy(A())", ("AttributeError", "TypeError")),
    "zones beside the tree": ("import zoneinfo\nzoneinfo.ZoneInfo('../../../etc/passwd')", ("ValueError",)),
    "a namedtuple's names": (
        "from collections import namedtuple\nclass S(str):\n    def __str__(self): return self\n    def isidentifier(self): return True\n"
        "namedtuple('A', [S('a=__import__(\"os\")')])",
        ("TypeError",),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", ATTACKS)
def test_a_module_of_the_preset_leads_no_further(name: str, python: str, templates: dict[str, object]) -> None:
    belljar = pytest.importorskip("belljar")
    if python not in templates:
        templates[python] = belljar.Template(belljar.Policy(feature=["everyday"]), python=python)
    program, errors = ATTACKS[name]
    done = templates[python].run(program)  # type: ignore[attr-defined]
    assert done.error is not None and done.error.name in errors, done


def test_the_event_loop_has_no_machine(python: str, templates: dict[str, object]) -> None:
    belljar = pytest.importorskip("belljar")
    program = (
        "import asyncio\nasync def main():\n    loop = asyncio.get_running_loop()\n    found = [n for n in ('_ssock', '_csock') if hasattr(loop, n)]\n"
        "    for ask in (lambda: loop.run_in_executor(None, print), lambda: loop.create_connection(None, 'localhost', 1), "
        "lambda: loop.subprocess_shell(None, 'id')):\n        try:\n            ask()\n        except NotImplementedError as error:\n"
        "            found.append(str(error).split()[0])\n    return found\nprint(asyncio.run(main()))"
    )
    with belljar.Template(belljar.Policy(feature=["asyncio", "stdout"]), python=python) as template:
        assert template.run(program).stdout == "['run_in_executor()', 'create_connection()', 'subprocess_shell()']\n"


def test_the_preset_raises_the_recursion_limit_unless_the_caller_gave_one() -> None:
    assert SandboxConfig("everyday").recursion_limit == 1000
    assert SandboxConfig("everyday", recursion_limit=70).recursion_limit == 70
    assert SandboxConfig("stdout").recursion_limit == 50
