"""Shared by all Python tests: tables that a test fills and that are printed at the end of the run, so that CI shows them."""

from __future__ import annotations

import os
import pathlib
import re
import subprocess
import tempfile
from typing import Any

import pytest

TABLES = pytest.StashKey[dict[str, list[str]]]()


@pytest.fixture(scope="session")
def report(request: pytest.FixtureRequest):
    """report("title", "line", …): adds lines to a table of that title."""
    tables = request.config.stash.setdefault(TABLES, {})

    def add(title: str, *lines: str) -> None:
        tables.setdefault(title, []).extend(lines)

    return add


@pytest.fixture(scope="module")
def template():
    """A template of a plain policy, for a file's tests. A file that needs another has its own."""
    from belljar import Policy, Template  # not where a test needs no belljar

    with Template(Policy(timeout=20), python="/usr/bin/python3") as template:
        yield template


@pytest.fixture
def sandbox(template):
    """A session of its own for each test."""
    from belljar import Sandbox

    with Sandbox(template=template) as sandbox:
        yield sandbox


@pytest.fixture
def packages():
    """The folder of packages of a new environment, and its interpreter."""
    with tempfile.TemporaryDirectory(prefix="belljar-probe-") as top:
        os.chmod(top, 0o755)
        subprocess.run(["/usr/bin/python3", "-m", "venv", "--without-pip", top + "/env"], check=True)
        yield next(pathlib.Path(top, "env/lib").glob("python3.*/site-packages")), top + "/env/bin/python"


def pytest_sessionfinish(session: pytest.Session) -> None:
    """A worker of pytest-xdist hands its tables to the process that prints them."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["belljar_tables"] = session.config.stash.get(TABLES, {})


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    tables = node.config.stash.setdefault(TABLES, {})
    for title, lines in getattr(node, "workeroutput", {}).get("belljar_tables", {}).items():
        tables.setdefault(title, []).extend(lines)


CELLS = re.compile(r"(\d+) cells, (\d+) as they should be")  # of tables that have them, the sum is shown as well
CATALOGUE = re.compile(r"test_the_policy_answers_as_the_catalogue_says\[(python[\d.]+)-(plain|jar)-(L\d+)")


def language_catalogue(reporter: pytest.TerminalReporter) -> list[str]:
    """How many classes of attack on the language policy hold, for each interpreter; the tests may have run in several processes."""
    held: dict[tuple[str, str], list[int]] = {}
    for outcome in ("passed", "failed"):
        for report in reporter.stats.get(outcome, []):
            match = CATALOGUE.search(report.nodeid)
            if match:
                held.setdefault((match[1], match[2]), [0, 0])[outcome == "failed"] += 1
    return [f"{python:12} {'in the jar' if where == 'jar' else 'in a plain process':20} {sum(count)} classes, {count[0]} held"
            for (python, where), count in sorted(held.items())]  # fmt: skip


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    lines = language_catalogue(terminalreporter)
    if lines:
        terminalreporter.section("language catalogue")
    for line in lines:
        terminalreporter.write_line(line)
    for title, lines in terminalreporter.config.stash.get(TABLES, {}).items():
        counts = [match for line in lines if (match := CELLS.search(line))]
        if counts:
            lines = [
                *lines,
                f"{sum(int(count[1]) for count in counts)} cells, {sum(int(count[2]) for count in counts)} as they should be",
            ]
        terminalreporter.section(title)
        for line in lines:
            terminalreporter.write_line(line)
