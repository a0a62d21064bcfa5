"""docs/tutorial.md, docs/ten-minutes.md, docs/cookbook.md and the examples in the docstrings do what they show."""

from __future__ import annotations

import asyncio
import doctest
import importlib
import os
import pathlib
import pkgutil
import re
import shutil
import subprocess
import sys
import tempfile
import warnings

import pytest

import belljar

TREE = pathlib.Path(__file__).resolve().parents[2]
DOCS = TREE / "docs"
FLAGS = doctest.ELLIPSIS | doctest.IGNORE_EXCEPTION_DETAIL
# A page's blocks: ```python with >>> is a session, ```LANGUAGE FILE a file to save, ```console commands and what they print.
BLOCK = re.compile(r"^```(\w+)?(?: (\S+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
COMMAND = re.compile(r"^\$ (.+(?:\n> .*)*)\n((?:(?!\$ ).*\n)*)", re.MULTILINE)
ELSEWHERE = "<!-- run by scripts/make-wheel -->\n"


@pytest.fixture(autouse=True)
def quiet():
    # For root, an interpreter that only root can reach is replaced, with a warning that is no part of the text.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        yield


def check(test: doctest.DocTest) -> None:
    said: list[str] = []
    failed, tried = doctest.DocTestRunner(optionflags=FLAGS).run(test, out=said.append)
    assert failed == 0, "".join(said)
    assert tried > 0


# ---- Pages -----------------------------------------------------------------------------------------------------------


def page(text: str, line: int = 0) -> list[doctest.Example]:
    """What a reader of the text does, one thing after the other; `line` is that of its beginning."""
    found = []
    for block in BLOCK.finditer(text):
        at = line + text.count("\n", 0, block.start(3))
        language, name, content = block.groups()
        if text[: block.start()].endswith(ELSEWHERE):
            continue
        if name is not None:
            found.append(doctest.Example(f"save({name!r}, {content!r})\n", "", lineno=at))
        elif language == "console":
            assert content.startswith("$ "), content
            for command in COMMAND.finditer(content):
                words = command[1].replace("\n> ", "\n")
                found.append(
                    doctest.Example(f"shell({words!r})\n", command[2], lineno=at + content.count("\n", 0, command.start()))
                )
        else:
            assert (
                language == "python" and ">>> " in content
            ), f"line {at}: a block that is neither a file, nor commands, nor a session"
            for example in doctest.DocTestParser().get_examples(content):
                example.lineno += at
                found.append(example)
    return found


def sections(name: str) -> list[object]:
    """The parts of a page that stand for themselves, by their titles."""
    text = (DOCS / name).read_text()
    starts = [match.start() for match in re.finditer(r"^## ", text, re.MULTILINE)]
    return [pytest.param(name, text[start:end], text.count("\n", 0, start), id=f"{name}: {text[start + 3 : text.index(chr(10), start)]}")
            for start, end in zip(starts, [*starts[1:], len(text)])]  # fmt: skip


class Reader:
    """A folder of a reader's, with a shell in it that has `belljar`, `python` and, in place of docker, a stock container by crun."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.folder = folder
        tools = folder / ".tools"
        tools.mkdir()
        command = shutil.which("belljar") or str(pathlib.Path(os.environ.get("BELLJAR_BUILD", "build")) / "belljar")
        # docker run OPTION… IMAGE COMMAND…, where the image is called jar
        container = (
            f'while [ "$1" != jar ]; do shift; done; shift; exec {TREE}/tests/container/run {TREE} 65534 /tmp "/srv/build/$@"'
        )
        for name, does in (("belljar", f'exec {command} "$@"'), ("python", f'exec {sys.executable} "$@"'), ("docker", container)):
            (tools / name).write_text(f"#!/bin/bash\n{does}\n")
            (tools / name).chmod(0o755)
        self.environment = {"PATH": f"{tools}:/usr/bin:/bin", "HOME": "/nonexistent", "LANG": "C.UTF-8", "BELLJAR_PYTHON": sys.executable,
                            **{key: os.environ[key] for key in ("PYTHONPATH", "BELLJAR_BUILD", "PYTHONDONTWRITEBYTECODE") if key in os.environ}}  # fmt: skip

    def save(self, name: str, text: str) -> None:
        (self.folder / name).parent.mkdir(exist_ok=True)
        (self.folder / name).write_text(text)

    def shell(self, command: str) -> None:
        done = subprocess.run(["bash", "-c", command], cwd=self.folder, env=self.environment, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", timeout=120)  # fmt: skip
        print(done.stdout.replace(str(self.folder), "/home/me/jar"), end="")


def lacking(text: str) -> str:
    """What this machine would have to have for a text's commands."""
    for module in ("numpy", "pandas", "matplotlib"):
        if f"import {module}" in text:
            if subprocess.run(["/usr/bin/python3", "-c", f"import {module}"], stderr=subprocess.DEVNULL).returncode != 0:
                return f"{module}, for /usr/bin/python3"
    if "$ docker run" in text and (os.geteuid() != 0 or not shutil.which("crun")):
        return "crun, and root to start a container"
    return ""


@pytest.fixture
def reader(monkeypatch):
    """A reader whose folder everybody can reach: pytest's own are closed to the user who runs the sandbox."""
    with tempfile.TemporaryDirectory(prefix="belljar-reader-") as name:
        folder = pathlib.Path(name).resolve()
        folder.chmod(0o755)
        monkeypatch.chdir(folder)
        yield Reader(folder)


def follow(reader: Reader, name: str, text: str, line: int = 0) -> None:
    if missing := lacking(text):
        pytest.skip(f"this machine lacks {missing}")
    names = {"save": reader.save, "shell": reader.shell}
    check(doctest.DocTest(page(text, line), names, name, str(DOCS / name), 0, text))


@pytest.mark.parametrize("name", ["tutorial.md", "ten-minutes.md"])
def test_a_page_is_true_from_top_to_bottom(reader, name):
    follow(reader, name, (DOCS / name).read_text())


@pytest.mark.parametrize(("name", "text", "line"), sections("cookbook.md"))
def test_a_recipe_is_true_by_itself(reader, name, text, line):
    follow(reader, name, text, line)
    for program in BLOCK.finditer(text):
        assert program[1] != "python" or 10 <= program[3].count("\n") <= 25, f"{program[2]}: recipes have 10 to 25 lines"


def test_a_page_that_says_something_else_fails(reader):
    follow(reader, "x.md", "```text a.txt\none\n```\n\n```console\n$ cat a.txt\none\n$ true\n```\n")
    for wrong in ("```console\n$ cat a.txt\ntwo\n```\n", "```console\n$ true\none\n```\n", "```python\n>>> 1\n2\n```\n"):
        with pytest.raises(AssertionError, match="Expected"):
            follow(reader, "x.md", wrong)
    with pytest.raises(AssertionError, match="neither a file"):
        follow(reader, "x.md", "```python\nnobody_runs_this()\n```\n")


# ---- Docstrings ------------------------------------------------------------------------------------------------------


def examples():
    finder = doctest.DocTestFinder(exclude_empty=True, recurse=True)
    for module in [belljar, *(importlib.import_module(f"belljar.{row.name}") for row in pkgutil.iter_modules(belljar.__path__)
                              if row.name != "_belljar")]:  # fmt: skip
        for test in finder.find(module, module.__name__):
            if test.examples:
                yield test


@pytest.mark.parametrize("test", list(examples()), ids=lambda test: test.name)
def test_examples_of_docstrings_are_true(test):
    names = {name: getattr(belljar, name) for name in belljar.__all__}
    with belljar.Sandbox() as sandbox:
        test.globs.update(names, belljar=belljar, asyncio=asyncio, sandbox=sandbox)
        check(test)
