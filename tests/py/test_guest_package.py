"""The guest's Python as modules: each can be imported alone, outside of a guest; the build's text holds them all; the numbers
are those of the header."""

import ast
import importlib.util
import marshal
import os
import pathlib
import pickle
import re
import subprocess
import sys

import pytest

import belljar
from belljar import Policy, Sandbox, SandboxConfig, Template
from belljar._session import command

TREE = pathlib.Path(__file__).resolve().parents[2]
GUEST = TREE / "python" / "belljar_guest"
SHARED = TREE / "python" / "belljar" / "_shared"
MODULES = [f"belljar_guest.{path.stem}" for path in sorted(GUEST.glob("_[a-z]*.py")) if path.stem != "_importer"]
MODULES += [f"belljar._shared.{path.stem}" for path in sorted(SHARED.glob("[a-z]*.py"))]
core = pytest.mark.core

# A stand-in for guest/module.c: what modules look for as they are imported, and nothing that does anything.
ALONE = """
import sys, types
sys.path.insert(0, sys.argv[1])
package = types.ModuleType("belljar")  # without the host's half of it
package.__path__ = [sys.argv[1] + "/belljar"]
sys.modules["belljar"] = package
native = sys.modules["belljar_guest.native"] = types.ModuleType("belljar_guest.native")
native.language_proxy = native.language_function = native.language_build_function = None
__import__(sys.argv[2])
"""


@pytest.mark.parametrize("name", MODULES)
def test_a_module_can_be_imported_alone(name):
    done = subprocess.run([sys.executable, "-I", "-B", "-c", ALONE, TREE / "python", name], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_module_that_imports_what_is_not_there_cannot_be_imported():  # the twin
    done = subprocess.run([sys.executable, "-I", "-B", "-c", ALONE, TREE / "python", "belljar_guest._nothing"], capture_output=True)
    assert done.returncode != 0


def bundle(*modules):
    command = [sys.executable, TREE / "scripts" / "bundle-guest", GUEST / "_importer.py", *modules]
    done = subprocess.run(command, capture_output=True)
    done.stdout, done.stderr = done.stdout.partition(b"\0")[0].decode(), done.stderr.decode()
    return done


def test_the_text_of_the_build_holds_every_module_and_no_annotation():
    text = pathlib.Path(os.environ["BELLJAR_BUILD"], "belljar_guest.bundle").read_bytes().partition(b"\0")[0].decode()
    parts = dict(part.split("\n", 1) for part in text.split("\n# ==== ")[1:])
    assert sorted(parts) == sorted(MODULES)
    for part in parts.values():
        for node in ast.walk(ast.parse(part)):
            assert not isinstance(node, ast.arg) or node.annotation is None
            assert not isinstance(node, ast.FunctionDef) or node.returns is None
            assert (
                not isinstance(node, ast.ImportFrom)
                or node.module not in ("typing", "__future__")
                or node.names[0].name == "NamedTuple"
            )


def test_the_code_of_the_build_is_that_of_the_text():
    text, _, ready = pathlib.Path(os.environ["BELLJAR_BUILD"], "belljar_guest.bundle").read_bytes().partition(b"\0")
    if ready[:4] != importlib.util.MAGIC_NUMBER:
        pytest.skip("the build's interpreter is of another kind than this one")
    index = marshal.loads(ready[int.from_bytes(ready[4:8], "little") :])
    codes = {name: ready[begin:end] for name, (begin, end) in index.items()}
    assert sorted(codes) == sorted(MODULES)
    hosts = [name for name in codes if marshal.loads(codes[name]).co_filename == "<host>"]
    assert "belljar_guest._host" in hosts and "belljar_guest._run" not in hosts
    importer, *parts = text.decode().split("\n# ==== ")
    assert marshal.loads(ready[8:]) == compile(importer + "\n", "<belljar>", "exec", dont_inherit=True)
    for part in parts:
        name, source = part.split("\n", 1)
        made = compile(source, "<host>" if name in hosts else "<belljar>", "exec", dont_inherit=True)
        assert marshal.loads(codes[name]) == made, name


def test_a_module_that_is_not_in_the_text_cannot_be_imported_by_one_that_is(tmp_path):
    other = tmp_path / "belljar_guest" / "_other.py"
    other.parent.mkdir()
    other.write_text("from belljar_guest import _state, native\n")
    done = bundle(GUEST / "_state.py", other)
    assert done.returncode == 0, done.stderr
    for line in ("from belljar_guest import _nothing", "from belljar._shared import values", "from . import _state"):
        other.write_text(line + "\n")
        done = bundle(GUEST / "_state.py", other)
        assert done.returncode == 1 and "is no module of the text" in done.stderr


def test_what_is_left_out_changes_nothing_else(tmp_path):
    path = tmp_path / "belljar_guest" / "_some.py"
    path.parent.mkdir()
    path.write_text(
        '''from __future__ import annotations
from typing import TYPE_CHECKING, NamedTuple
if TYPE_CHECKING:
    from typing import Any
    Kind = dict[str, Any]
class Row(NamedTuple):
    name: str
    size: int = 3
x: int
y: Kind = {"->": "é: int"}
def f(a: Kind, *rest: int, b: str = "-> x: int", **more: Any) -> dict[str, Any] | None:
    text: str = """a: int

    if TYPE_CHECKING: -> """
    return [a, rest, b, more, text, lambda c: c]
'''
    )
    done = bundle(path)
    assert done.returncode == 1 or "TYPE_CHECKING" in done.stdout  # two names in one import are left as they are
    path.write_text(path.read_text().replace("TYPE_CHECKING, NamedTuple", "TYPE_CHECKING\nfrom typing import NamedTuple"))
    done = bundle(path)
    assert done.returncode == 0, done.stderr
    names = {}
    exec(done.stdout.partition("\n# ==== ")[2].partition("\n")[2], names)
    assert names["Row"]("n") == ("n", 3) and names["y"] == {"->": "é: int"} and "x" not in names
    assert names["f"].__annotations__ == {} and names["f"](1, 2, k=3)[:4] == [1, (2,), "-> x: int", {"k": 3}]
    assert names["f"](1)[4] == "a: int\n\n    if TYPE_CHECKING: -> "


def test_the_numbers_are_those_of_the_header(tmp_path):
    header, module = TREE / "wire" / "frame.h", tmp_path / "frames.py"
    command = [sys.executable, TREE / "scripts" / "make-frames"]
    subprocess.run([*command, header, module], check=True)
    assert module.read_text() == (SHARED / "frames.py").read_text()
    changed = tmp_path / "frame.h"
    changed.write_text(header.read_text().replace("FRAME_RESULT = 64", "FRAME_RESULT = 65"))
    done = subprocess.run([*command, changed, module, "--check"], capture_output=True, text=True)
    assert done.returncode == 1 and "run scripts/make-frames" in done.stderr


# ---- In a guest --------------------------------------------------------------------------------------------------


@core
def test_a_program_does_not_meet_them():
    code = """
import sys
print([name for name in sys.modules if "belljar" in name])
for name in ("belljar_guest", "belljar_guest._run", "belljar._shared.values"):
    try:
        __import__(name)
    except ImportError as error:
        print(error.name)
"""
    with Template(Policy(), python="/usr/bin/python3") as template:
        said = template.run(code).stdout.splitlines()
    assert said[0] in ("[]", "['belljar']")  # that is what belljar defines inside: SandboxError and the like
    assert said[1:3] == ["belljar_guest", "belljar_guest"] and len(said) == 4


@core
def test_a_traceback_has_the_programs_frames_only():
    code = "def f():\n    hand(1)\nf()"

    def hand(x: int) -> None:
        raise ValueError("no")

    with Sandbox() as sandbox:
        sandbox.expose(hand)
        error = sandbox.run_code(code).error
        assert error is not None and error.name == "ValueError"
        assert [line.split(",")[0] for line in error.traceback.splitlines() if line.startswith("  File")] == [
            '  File "<cell 1>"'
        ] * 2
        shown = sandbox.run_code("import traceback\ntry: 1/0\nexcept Exception: print(traceback.format_exc())").stdout
        assert shown.count("File") == 1 and "belljar" not in shown


# ---- One table of commands for every policy ----------------------------------------------------------------------


@pytest.fixture(scope="module")
def under_a_policy():
    config = SandboxConfig("stdout", "math")
    with Template(Policy(**config.to_policy()), python="/usr/bin/python3") as template:
        yield template


def test_a_session_under_a_policy_shows_its_results(under_a_policy):
    with Sandbox(template=under_a_policy) as sandbox:
        sandbox.run_code("x = 1")
        assert sandbox["x"] == 1
        shown = []
        assert sandbox.run_code("x + 1", on_result=shown.append).value == 2
        assert [result.text for result in shown] == ["2"]
        with pytest.raises(ImportError, match="blocked by the sandbox"):
            sandbox.execute("import os")


@pytest.mark.parametrize(("name", "said"), [("fly", "no command 'fly'"), ("call", "no object is unpickled")])
def test_what_a_policy_does_not_know_or_load_is_refused_in_words(under_a_policy, name, said):
    with under_a_policy.sandbox() as sandbox:
        stream = pickle.dumps(("value", os.getpid)) + pickle.dumps(None)
        result = sandbox._session.guest.run(command(name, [5, [stream, []]]), session=True, command=True)
        assert result.error and re.search(said, result.error[1]), result.error


def test_belljar_is_imported():
    assert belljar.run("1 + 1", python="/usr/bin/python3").value == 2
