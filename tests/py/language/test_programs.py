"""What the policy allows works as without it: real programs, unchanged, with the same output."""

from __future__ import annotations

import pathlib
import subprocess
from collections.abc import Callable

import pytest
from conftest import HERE, Outcome, SandboxConfig

FEATURES = {
    "lisp": "itertools math regex",
    "template": "regex",
    "dates": "datetime time",
    "words": "hashlib itertools random regex unicodedata",
    "algorithms": "math",
}


@pytest.mark.parametrize("name", FEATURES)
def test_a_program_runs_unchanged(name: str, python: str, run: Callable[..., Outcome]) -> None:
    path: pathlib.Path = HERE / "programs" / f"{name}.py"
    plain = subprocess.run([python, "-I", "-X", "utf8", path], capture_output=True, text=True, check=True, timeout=60)
    config = SandboxConfig("stdout", *FEATURES[name].split(), recursion_limit=900)
    outcome = run(config, path.read_text())
    assert outcome.error is None, outcome.text
    assert outcome.stdout == plain.stdout
