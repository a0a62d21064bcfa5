"""scripts/lint-modules finds what it says it finds, and nothing in what is permitted."""

from __future__ import annotations

import pathlib
import subprocess
import sys

import pytest

LINT = pathlib.Path(__file__).resolve().parents[2] / "scripts" / "lint-modules"

CLEAN = {
    "__init__.py": "from jar import a, b\n",
    "a.py": "from __future__ import annotations\nfrom typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from jar.b import B\n"
            "class A:\n    def __init__(self) -> None:\n        self._x = 1\n    def twin(self, to: A) -> A:\n"
            "        made = object.__new__(type(self))\n        made._x = to._x\n        return made\n"
            "def x_of(a: A) -> int:\n    return a._x\n",
    "b.py": "import os\nfrom jar.a import A, x_of\nclass B:\n    def __init__(self) -> None:\n        self._x = x_of(A())\n"
            "def leave() -> None:\n    os._exit(x_of(A()))\n",
}  # fmt: skip

FAULTS = {
    "an access to another's": ("b.py", "def take(a: A) -> int:\n    return a._x\n", "a._x is private"),
    "a name that both define": ("b.py", "def take(thing: object) -> int:\n    return thing._x\n", "thing._x is private"),
    "a way through own ones": (
        "b.py",
        "class C:\n    a: A\n    def get(self) -> int:\n        return self.a._x\n",
        "..._x is private",
    ),
    "a private function": ("b.py", "from jar.a import _hidden\n", "_hidden is private to a"),
    "a circle": ("a.py", "from jar.b import B\n", "a circle of imports: a -> b -> a"),
    "a circle in a function": ("a.py", "def late() -> object:\n    import jar.b\n    return jar.b\n", "a circle of imports"),
}


def lint(folder: pathlib.Path, **more: str) -> subprocess.CompletedProcess[str]:
    root = folder / "jar"
    root.mkdir()
    for name, text in CLEAN.items():
        (root / name).write_text(text + more.get(name.removesuffix(".py"), ""))
    return subprocess.run([sys.executable, LINT, root], capture_output=True, text=True)


def test_what_is_permitted_passes(tmp_path):
    done = lint(tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_is_found(tmp_path, fault):
    name, text, words = FAULTS[fault]
    done = lint(tmp_path, **{name.removesuffix(".py"): text})
    assert done.returncode == 1 and words in done.stdout, done.stdout + done.stderr


def test_the_package_is_clean():
    done = subprocess.run([sys.executable, LINT], capture_output=True, text=True, cwd=LINT.parents[1])
    assert done.returncode == 0, done.stdout
