"""Functions and classes go into a sandbox as code, by one way on every interpreter: the table of travelling.py, and what it leaves out."""

from __future__ import annotations

import json
import os
import pathlib
import pickle
import subprocess
import sys
from typing import Any

import pytest

from belljar import Policy, Sandbox, SandboxConfig, SandboxError, SandboxExecutor, pysandbox

core = pytest.mark.core
HERE = pathlib.Path(__file__).parent
PYTHONS = [sys.executable, *os.environ.get("BELLJAR_PYTHONS", "").split(":")]


@core
@pytest.mark.parametrize("which", ["open", "language", "everyday"])
@pytest.mark.parametrize(
    "python", dict.fromkeys(filter(None, PYTHONS)), ids=lambda path: "python" + pathlib.Path(path).resolve().name[6:]
)
def test_every_kind_of_code_travels(python: str, which: str) -> None:
    done = subprocess.run([python, HERE / "travelling.py", which], capture_output=True, text=True, timeout=200, env={
        **os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)) if python == sys.executable else os.environ.get("PYTHONPATH", "")})  # fmt: skip
    if "no module named 'belljar" in done.stderr.lower():
        pytest.skip(f"{python} has no belljar: {done.stderr[-200:]}")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["wrong"] == {} and found["cases"] > 60


@pytest.mark.parametrize(
    ("face", "config"), [(Sandbox, SandboxConfig), (pysandbox.Sandbox, pysandbox.SandboxConfig)], ids=["belljar", "pysandbox"]
)
def test_a_nested_function_that_calls_itself_meets_the_recursion_limit(face: Any, config: Any) -> None:
    """pysandbox's own test."""

    def factorial(n: int) -> int:
        return n * factorial(n - 1) if n >= 2 else 1

    made = config()
    with pytest.raises(RuntimeError, match="maximum recursion depth exceeded"):
        face(made).call(factorial, made.recursion_limit + 1)
    assert face(made).call(factorial, made.recursion_limit) > 1  # the twin


def test_a_class_is_one_class_for_a_call_and_its_code() -> None:
    class Local:
        def same(self, kind: type) -> bool:
            return type(self) is kind is Local

    for policy in (Policy(timeout=20), SandboxConfig()):
        with Sandbox(policy) as sandbox:
            assert sandbox.call(lambda kind, more: kind().same(more["k"]), Local, {"k": Local}) is True


def test_an_executor_copies_its_arguments() -> None:
    class Basket:
        def __init__(self) -> None:
            self._items = [1]

        def __setstate__(self, state: dict[str, Any]) -> None:
            self.__dict__.update(state)
            self.size = count(self._items)

    def count(items: list[int]) -> int:
        return len(items)

    with SandboxExecutor(Policy(timeout=20), max_workers=1) as pool:
        assert pool.submit(
            lambda basket, *, kind: (basket.size, basket._items, type(basket) is kind), Basket(), kind=Basket
        ).result(30) == (1, [1], True)
        assert isinstance(pool.submit(len, (n for n in ())).exception(30), SandboxError)


def test_functions_are_set_and_named_as_they_are_called() -> None:
    def triple(x: int) -> int:
        return 3 * x

    for policy in (Policy(timeout=20), SandboxConfig()):
        with Sandbox(policy) as sandbox:
            sandbox["f"] = {"triple": triple, "kind": int}
            assert sandbox.run_code("f['triple'](f['kind']('3'))").value == 9
            names: dict[str, Any] = {"f": triple, "n": 1}
            sandbox.execute("n = f(2)", names)
            assert names["n"] == 6


def test_nothing_comes_back_as_code(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pickle, "loads", None)
    monkeypatch.setattr(pickle, "Unpickler", None)
    with Sandbox(Policy(timeout=20)) as sandbox:
        assert type(sandbox.call(lambda: len)).__name__ == "Opaque"


WAYS: dict[str, Any] = {
    "call": lambda sandbox, value: sandbox.call(len, [value]),
    "name": lambda sandbox, value: sandbox.__setitem__("x", value),
    "within a name": lambda sandbox, value: sandbox.__setitem__("x", {"k": [value]}),
    "execute": lambda sandbox, value: sandbox.execute("x", {"x": value}),
}


@pytest.mark.parametrize("policy", [Policy(timeout=20), SandboxConfig("everyday", timeout=20)], ids=["open", "language"])
def test_no_bytecode_goes_to_another_version(policy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its interpreter would run it, and die of it."""
    with Sandbox(policy) as sandbox:
        monkeypatch.setattr(type(sandbox._session.pool), "python", property(lambda pool: (3, 99, 0)))
        for way in WAYS.values():
            with pytest.raises(SandboxError, match="equal versions of Python only: the sandbox has 3.99"):
                way(sandbox, lambda: 1)
        for name in ("name", "within a name", "execute"):  # the twins: values, and what a module has
            WAYS[name](sandbox, 1)
            WAYS[name](sandbox, len)
        assert sandbox.run_code("6 * 7").value == 42
