"""The feature `everyday`: for each module of it one real use, one subclass and one error path, as plain CPython does it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from functools import cache

import pytest
from conftest import HERE

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
