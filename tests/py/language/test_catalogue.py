"""The language catalogue: every class of attack is one file of tests/escapes/language.

Its docstring says what the policy must answer, and what shows that the attack works without it (the control)."""

from __future__ import annotations

import pathlib
import re
from collections.abc import Callable

import pytest
from conftest import TREE, Outcome, SandboxConfig, run_control

FILES = sorted((TREE / "tests" / "escapes" / "language").glob("L*.py"))


def header(path: pathlib.Path) -> dict[str, str]:
    lines = path.read_text().split('"""')[1].splitlines()
    return {
        "kind": "",
        "features": "",
        "allow": "",
        "control": "reached",
        **dict(re.findall(r"(?m)^(\w+): (.+)$", "\n".join(lines))),
    }


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_policy_answers_as_the_catalogue_says(path: pathlib.Path, run: Callable[..., Outcome]) -> None:
    row = header(path)
    config = SandboxConfig(*row["features"].split())
    if row["allow"]:
        name, *symbols = row["allow"].split()
        config.allow_safe_module(name, *symbols)
    expected = row["expect"].split(" or ")
    outcome = run(config, path.read_text(), seconds=2.0 if "stopped" in expected else 20.0)
    if "accepted" in expected:
        assert outcome.error is None
        return
    assert not outcome.reached
    assert (outcome.error or "nothing") in expected, outcome.text


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_attack_works_without_the_policy(path: pathlib.Path, python: str, tmp_path: pathlib.Path) -> None:
    row = header(path)
    if row["control"] == "none":
        return  # the resources that it takes are the point; the limits outside stop it in either case
    outcome = run_control(python, path.read_text(), tmp_path)
    if row["control"] == "reached":
        assert outcome.reached or "accepted" in row["expect"], outcome
