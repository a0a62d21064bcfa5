"""docs/tutorial.md and the examples in the docstrings do what they show."""

from __future__ import annotations

import asyncio
import doctest
import importlib
import pathlib
import pkgutil
import warnings

import pytest

import belljar

TUTORIAL = pathlib.Path(__file__).resolve().parents[2] / "docs" / "tutorial.md"
FLAGS = doctest.ELLIPSIS | doctest.IGNORE_EXCEPTION_DETAIL


@pytest.fixture(autouse=True)
def quiet():
    # As root, an interpreter that only root can reach is replaced, with a warning that is no part of the text.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        yield


def check(test: doctest.DocTest) -> None:
    said: list[str] = []
    failed, tried = doctest.DocTestRunner(optionflags=FLAGS).run(test, out=said.append)
    assert failed == 0, "".join(said)
    assert tried > 0


def test_the_tutorial_is_true():
    text = TUTORIAL.read_text().replace("\n```\n", "\n\n")  # the end of a block is no output
    check(doctest.DocTestParser().get_doctest(text, {}, "tutorial.md", str(TUTORIAL), 0))


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
