"""The frame that every benchmark of this folder is written against: rows, rounds, reasons, JSON.

A *section* is a function that is given a Bench; a module lists its own in `SECTIONS`, and bench.py names the modules:

    SECTIONS = [Section("fork", "Copies of a session", fork)]        # word for --only and file name, title, function

    def fork(bench: Bench) -> None:
        with Sandbox() as sandbox, Pong() as pong:
            ours = Side("sandbox.fork()", lambda: sandbox.fork().close())
            floor = Side("os.fork()", plain.fork, kind="floor")
            bench.alternate([ours, floor], rounds=20)
            bench.row("a copy of a session", ours, floor, target=4)              # ours may take 4 times as long
            bench.value("memory of a parked guest", 0.31, "MB", target=0.35)     # a figure with no other beside it
            with bench.attempt("a copy of 1 GB"):                                # whatever fails in here becomes
                ...                                                              #   a row that says why
            bench.not_run("the same under gVisor", "runsc is no package of Debian")

*Rounds.* `alternate` gives each side `turns` turns in a row, then the next side. Every second round goes through the list backwards, and
every two rounds begin with another side, so that none always follows the same one. Of twelve turns or more a first one is not
counted: it finds the caches of the side before it. `before` is done before each turn and is not timed: a pause (STATES), a
child to be forked. What `do` returns, if it is a number, is taken for its measure (a program that timed itself, a rate); else
its time is taken. A side that is slow says every=3: it has its turns in each third round. A side that has failed three times
is out of the following rounds, and its rows say why; the others go on. `--quick` makes a sixth of the rounds.

*Row.* p50 and p99 of both sides are of all turns. The figure is the median of the rounds' own ratios (of their medians), because
the machine's speed drifts; `low` and `high` are the quartiles of those. Times: with at_least=True the figure says how many times
faster ours is (theirs/ours), else how many times as long it takes (ours/theirs). Sides with another unit ("/s", "MB"):
ours/theirs. A target is held if figure >= target (at_least) or figure <= target. `state` says what the host does between turns,
`kind` of the other side whether it is a floor (the primitive that ours is made of), a peer (what one could take instead) or a
baseline (what ours is without the feature in question). `at` and `series` make of rows a line in a plot: at is the x.

A section's docstring is shown above its table in docs/performance.md: it says what is compared, for readers. Floors, and
environments with packages from PyPI, are in parts.py.

A row is known by section, name, state and the other side's name: drift is looked for by that. It is never silently missing:
what was not run has `reason`, and what the committed results have and a new run has not is named (report.py)."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import json
import os
import pathlib
import platform
import re
import signal
import statistics
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence

HERE = pathlib.Path(__file__).resolve().parent
TREE = HERE.parent
PYTHON = "/usr/bin/python3"
COMMAND = os.environ.get("BELLJAR_COMMAND", str(TREE / ".venv/bin/belljar"))
# A pool of threads would make of an array kernel a measurement of the scheduler; the jar has one as well.
ENVIRONMENT = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}


def busy(seconds: float) -> None:
    """A pause in which the CPU stays awake, as on a server with work."""
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        pass


# What a host does between two runs. After a sleep the CPU has to wake; a busy host lets guests be made on the other CPU only.
STATES: dict[str, Callable[[], None]] = {
    "host sleeping 8 ms": lambda: time.sleep(0.008),
    "host busy 8 ms": lambda: busy(0.008),
    "host busy 3 ms": lambda: busy(0.003),
    "tight loop": lambda: None,
}


def percentile(values: Sequence[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


QUICK = 6  # the share of rounds and seconds that --quick leaves
FAILURES = 3  # of a side, then it is out
TAIL = "its own median"  # what a 99th percentile is compared with
LEAD_FROM = 12  # of so many turns in a row a first one is not counted


TURNS_SECONDS, SECTION_SECONDS = 60, 600  # after which a side's turns of a round, or a section, have failed


class Unavailable(Exception):
    """Something is not on this machine; the text says how to get it."""


@dataclasses.dataclass
class Side:
    """One of those that are compared, and what was measured of it: a list of turns for each round."""

    name: str
    do: Callable[[], float | None] | Callable[[], object] = lambda: None
    before: Callable[[], object] = lambda: None
    turns: int = 12
    every: int = 1
    kind: str = "peer"
    unit: str = "s"
    rounds: list[list[float]] = dataclasses.field(default_factory=list)
    failures: int = 0
    reason: str = ""  # why it is out

    @property
    def all(self) -> list[float]:
        return [value for turns in self.rounds for value in turns]

    @property
    def p50(self) -> float:
        return statistics.median(self.all)

    @property
    def p99(self) -> float:
        return percentile(self.all, 0.99)

    def turn(self) -> float:
        self.before()
        start = time.perf_counter()
        given = self.do()
        took = time.perf_counter() - start
        return given if type(given) is float else took


@dataclasses.dataclass
class Row:
    section: str
    name: str
    state: str = ""
    ours: str = ""
    theirs: str = ""
    kind: str = ""
    unit: str = "s"  # of the four that follow
    p50: float | None = None
    p99: float | None = None
    theirs_p50: float | None = None
    theirs_p99: float | None = None
    figure: float | None = None  # what is held against the target
    figure_unit: str = "x"
    low: float | None = None  # the quartiles of the rounds' figures
    high: float | None = None
    rounds: int = 0
    target: float | None = None  # None: nothing was promised, the figure is for the reader
    at_least: bool = False
    detail: str = ""
    reason: str = ""  # why it was not run
    at: float | None = None
    series: str = ""

    @property
    def key(self) -> tuple[str, str, str, str]:
        return (self.section, self.name, self.state, self.theirs)

    @property
    def holds(self) -> bool:
        if self.target is None:
            return True
        if self.figure is None:
            return False
        return self.figure >= self.target if self.at_least else self.figure <= self.target

    @property
    def goal(self) -> str:
        return "" if self.target is None else f"{'≥' if self.at_least else '≤'} {self.target:g}"

    @property
    def word(self) -> str:
        return "not run" if self.reason else "" if self.target is None else "holds" if self.holds else "MISSED"


@contextlib.contextmanager
def deadline(seconds: float) -> Iterator[None]:
    """Raises a TimeoutError in what has not ended by then; within another deadline that one goes on afterwards. 0: none."""
    if not seconds:
        yield
        return

    def ring(*_: object) -> None:
        raise TimeoutError(f"no end within {seconds:g} s")

    handler, began = signal.signal(signal.SIGALRM, ring), time.monotonic()
    left, _ = signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, handler)
        signal.setitimer(signal.ITIMER_REAL, max(left - (time.monotonic() - began), 0.01) if left else 0)


@dataclasses.dataclass
class Section:
    word: str  # of --only, and the name of its file of results
    title: str
    run: Callable[[Bench], None]


def amount(value: float | None, unit: str) -> str:
    """For people: 431 µs, 2.1 MB, 1,290 /s."""
    if value is None:
        return ""
    if unit == "s":
        for scale, name in ((1, "s"), (1e3, "ms"), (1e6, "µs")):
            if abs(value) * scale >= 1:
                return f"{three(value * scale)} {name}"
        return f"{three(value * 1e9)} ns"
    return f"{three(value)} {unit}".strip()


def three(value: float) -> str:
    """With three digits, or all that are before the point."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


class Bench:
    """`patience`: whether turns and sections that do not end are ended, by SIGALRM; a test has other uses for that."""

    def __init__(
        self, quick: bool = False, patience: bool = False, say: Callable[[str], None] = lambda line: print(line, flush=True)
    ) -> None:
        self.quick = quick
        self.patience = patience
        self.say = say
        self.section = ""
        self.rows: list[Row] = []

    def count(self, rounds: int) -> int:
        """These rounds, or what --quick leaves of them."""
        return max(rounds // QUICK, 3) if self.quick else rounds

    def alternate(self, sides: Sequence[Side], rounds: int, seconds: float = 60) -> None:
        """Rounds as the top of this file has them; no more begins when the seconds are over."""
        for side in sides:
            if side.turns > 1 or not self.quick:
                self._turns(side, 1)  # what the first turn makes ready is no part of it
        end = time.monotonic() + (seconds / QUICK if self.quick else seconds)
        for number in range(self.count(rounds)):
            first = number // 2 % len(sides)
            order = [*sides[first:], *sides[:first]]
            for side in order if number % 2 == 0 else order[::-1]:
                side.rounds.append(self._turns(side, side.turns) if number % side.every == 0 else [])
            if time.monotonic() > end and number >= 2:
                break

    def _turns(self, side: Side, count: int) -> list[float]:
        """What a side's turns of one round gave: none of them, where one failed."""
        if side.reason:
            return []
        try:
            with deadline(TURNS_SECONDS if self.patience else 0):
                if count >= LEAD_FROM:
                    side.turn()
                return [side.turn() for _ in range(count)]
        except Exception as error:  # another's program: anything can come out of it
            side.failures += 1
            if side.failures >= FAILURES or isinstance(error, Unavailable):
                side.reason = reason_of(error)
            return []

    def row(self, name: str, ours: Side, theirs: Side, *, state: str = "", target: float | None = None, at_least: bool = False,
            detail: str = "", at: float | None = None, series: str = "") -> None:  # fmt: skip
        row = Row(self.section, name, state, ours.name, theirs.name, theirs.kind, ours.unit, target=target, at_least=at_least,
                  detail=detail, at=at, series=series)  # fmt: skip
        failed = [side for side in (ours, theirs) if side.reason or not side.all]
        flaws = [f"{side.failures} rounds of {side.name} failed" for side in (ours, theirs) if side.failures and not side.reason]
        row.detail = "; ".join(filter(None, [detail, *flaws]))
        if failed:
            row.reason = f"{failed[0].name}: {failed[0].reason or 'it had no turn'}"
        else:
            pairs = [
                (statistics.median(a), statistics.median(b)) for a, b in zip(ours.rounds, theirs.rounds, strict=False) if a and b
            ]
            faster = at_least and ours.unit == "s"
            figures = [b / a if faster else a / b for a, b in pairs]
            row.rounds = len(figures)
            row.figure = statistics.median(figures)
            row.low, row.high = quartiles(figures)
            row.p50, row.p99, row.theirs_p50, row.theirs_p99 = ours.p50, ours.p99, theirs.p50, theirs.p99
        self._add(row)

    def tail(self, name: str, ours: Side, *, state: str = "", target: float | None = None) -> None:
        """The 99th percentile as a multiple of the median: how evenly a thing is done."""
        row = Row(self.section, name, state, ours.name, TAIL, "baseline", ours.unit, target=target, reason=ours.reason)
        if not ours.reason:
            row.p50, row.p99, row.figure, row.rounds = ours.p50, ours.p99, ours.p99 / ours.p50, len(ours.rounds)
        self._add(row)

    def value(self, name: str, figure: float, unit: str, *, of: str = "", state: str = "", target: float | None = None,
              at_least: bool = False, detail: str = "", at: float | None = None, series: str = "", spread: Sequence[float] = ()) -> None:  # fmt: skip
        """A figure by itself. `spread`: the rounds' figures, if there were several."""
        low, high = quartiles(spread) if spread else (None, None)
        self._add(Row(self.section, name, state, of, unit=unit, figure=figure, figure_unit=unit, low=low, high=high, rounds=len(spread),
                      target=target, at_least=at_least, detail=detail, at=at, series=series))  # fmt: skip

    def not_run(self, name: str, reason: object, *, state: str = "", theirs: str = "", target: float | None = None,
                at_least: bool = False) -> None:  # fmt: skip
        text = reason_of(reason) if isinstance(reason, BaseException) else str(reason)
        self._add(Row(self.section, name, state, theirs=theirs, target=target, at_least=at_least, reason=text))

    @contextlib.contextmanager
    def attempt(self, name: str) -> Iterator[None]:
        """What fails inside becomes a row that says why."""
        try:
            yield
        except Exception as error:
            if not isinstance(error, Unavailable):
                traceback.print_exc()
            self.not_run(name, error)

    def take(self, rows: Sequence[Row]) -> None:
        """Rows that another program has measured for this section."""
        for row in rows:
            self._add(row)

    def _add(self, row: Row) -> None:
        self.rows.append(row)
        self.say(line_of(row))


def quartiles(values: Sequence[float]) -> tuple[float, float]:
    if len(values) < 2:
        return (values[0], values[0])
    first, _, third = statistics.quantiles(values, n=4, method="inclusive")
    return (first, third)


def reason_of(error: BaseException) -> str:
    # Neither colours nor addresses: the reason goes into files and pages.
    words = re.sub(r"\x1b\[[0-9;]*m", " ", str(error))
    words = re.sub(r"'?\b(?:https?|file)://[^\s'\"]+'?|/(?:tmp|var/tmp|root|home|work)/[^\s'\":]+", "…", words)
    text = " ".join(words.split())[:240]
    return text if isinstance(error, Unavailable) else f"{type(error).__name__}: {text}"


def figure_of(row: Row) -> str:
    if row.figure is None:
        return "not run"
    if row.figure_unit == "x":
        return f"{row.figure:.2f}" if abs(row.figure) < 10 else three(row.figure)
    return amount(row.figure, row.figure_unit)


def line_of(row: Row) -> str:
    name = f"{row.name}{', ' + row.state if row.state else ''}"
    if row.reason:
        return f"{name:64} not run: {row.reason}"
    detail = row.detail
    if row.p50 is not None:
        detail = f"{amount(row.p50, row.unit)} (p99 {amount(row.p99, row.unit)})"
        if row.theirs_p50 is not None:
            detail += f" against {amount(row.theirs_p50, row.unit)} (p99 {amount(row.theirs_p99, row.unit)}) of {row.theirs}"
    return f"{name:64} {figure_of(row):>10} {row.goal:8} {row.word:7} {detail}"


# ---- What was run where ---------------------------------------------------------------------------------------


def machine() -> dict[str, object]:
    model = next((line.partition(":")[2].strip() for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines()
                  if line.startswith("model name")), platform.machine())  # fmt: skip
    return {"processor": model, "cpus": len(os.sched_getaffinity(0)), "kernel": platform.release().split("-")[0],
            "python": platform.python_version(),
            "memory_mb": os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") >> 20}  # fmt: skip


def commit() -> str:
    def git(*arguments: str) -> str:
        done = subprocess.run(["git", "-C", str(TREE), *arguments], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        return done.stdout.strip() if done.returncode == 0 else ""

    try:
        changed = git("status", "--porcelain", "--untracked-files=no", "--", ".", ":!bench", ":!docs", ":!README.md")
        return (git("rev-parse", "--short=10", "HEAD") or "unknown") + ("+" if changed else "")
    except OSError:
        return "unknown"


def run_section(section: Section, bench: Bench) -> dict[str, object]:
    """Runs it and gives what is written into its file of results."""
    bench.section = section.word
    first = len(bench.rows)
    load, begun = os.getloadavg()[0], time.monotonic()
    with bench.attempt(f"{section.title}: what comes after this row"), deadline(SECTION_SECONDS if bench.patience else 0):
        section.run(bench)
    about = " ".join((section.run.__doc__ or "").split())  # the page shows it above the table
    return {
        "section": section.word, "title": section.title, "about": about, "date": datetime.date.today().isoformat(), "commit": commit(),
        "machine": machine(), "quick": bench.quick, "load_at_start": round(load, 2), "load_at_end": round(os.getloadavg()[0], 2),
        "seconds": round(time.monotonic() - begun), "rows": [as_json(row) for row in bench.rows[first:]]}  # fmt: skip


def as_json(row: Row) -> dict[str, object]:
    """Without what is empty, and numbers with the digits that mean something."""
    given = {name: float(f"{value:.4g}") if isinstance(value, float) else value for name, value in dataclasses.asdict(row).items()}
    kept = {name: value for name, value in given.items() if value not in (None, "") and name != "section"}
    return {**kept, "word": row.word} if row.word else kept


def write_json(record: dict[str, object], folder: pathlib.Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{record['section']}.json").write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n")


def read_rows(record: dict[str, object]) -> list[Row]:
    rows = record["rows"]
    assert isinstance(rows, list)
    return [Row(section=str(record["section"]), **{name: value for name, value in row.items() if name != "word"}) for row in rows]


def run_alone(sections: Sequence[Section]) -> None:
    """For a module by itself while it is being written: MODULE.py [--quick] [WORD]. Nothing is written."""
    bench = Bench(quick="--quick" in sys.argv)
    words = [word for word in sys.argv[1:] if not word.startswith("-")]
    for section in sections:
        if not words or any(word in section.word for word in words):
            run_section(section, bench)
