"""Shared by all Python tests: tables that a test fills and that are printed at the end of the run, so that CI shows them."""

from __future__ import annotations

import pytest

TABLES = pytest.StashKey[dict[str, list[str]]]()


@pytest.fixture(scope="session")
def report(request: pytest.FixtureRequest):
    """report("title", "line", …): adds lines to a table of that title."""
    tables = request.config.stash.setdefault(TABLES, {})

    def add(title: str, *lines: str) -> None:
        tables.setdefault(title, []).extend(lines)

    return add


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for title, lines in terminalreporter.config.stash.get(TABLES, {}).items():
        terminalreporter.section(title)
        for line in lines:
            terminalreporter.write_line(line)
