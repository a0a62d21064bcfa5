"""The table of attacks, printed at the end of the run; rows may come from several processes of pytest-xdist, so they travel with
the tests' reports."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pathlib
import sys
from collections.abc import Callable, Iterator

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


class Turns:
    """Tests run side by side; one that measures the whole machine can ask the others of this run to wait. Who wants to begin passes
    the gate first, so that a test that waits for the others to end is not overtaken by new ones."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.gate = open(folder / "gate", "w")
        self.work = open(folder / "work", "w")

    def enter(self, how: int) -> None:
        fcntl.flock(self.gate, fcntl.LOCK_EX)
        fcntl.flock(self.work, how)
        fcntl.flock(self.gate, fcntl.LOCK_UN)

    def leave(self) -> None:
        fcntl.flock(self.work, fcntl.LOCK_UN)

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        self.leave()
        self.enter(fcntl.LOCK_EX)
        try:
            yield
        finally:
            self.leave()
            self.enter(fcntl.LOCK_SH)


@pytest.fixture(scope="session")
def all_turns(tmp_path_factory: pytest.TempPathFactory) -> Turns:
    base = tmp_path_factory.getbasetemp()
    return Turns(base.parent if "PYTEST_XDIST_WORKER" in os.environ else base)  # a folder that all processes of this run have


@pytest.fixture(autouse=True)
def alone(all_turns: Turns) -> Iterator[Callable[[], contextlib.AbstractContextManager[None]]]:
    """with alone(): no other test of this folder runs meanwhile."""
    all_turns.enter(fcntl.LOCK_SH)
    yield all_turns.alone
    all_turns.leave()


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
