"""The table of attacks, printed at the end of the run; rows may come from several processes of pytest-xdist, so they travel with
the tests' reports."""

from __future__ import annotations

import pathlib
import sys

import pytest

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "py")]


@pytest.fixture
def report(record_property):
    """report("title", "line", …): adds lines to a table of that title."""

    def add(title: str, *lines: str) -> None:
        for line in lines:
            record_property("line", (title, line))

    return add


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    tables: dict[str, list[str]] = {}
    for outcome in ("passed", "failed"):
        for result in terminalreporter.getreports(outcome):
            for name, value in getattr(result, "user_properties", ()):
                if name == "line" and result.when == "call":
                    tables.setdefault(value[0], []).append(value[1])
    for title, lines in tables.items():
        terminalreporter.section(title)
        for line in sorted(set(lines)):
            terminalreporter.write_line(line)
