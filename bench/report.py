"""What is made of the results: tables and plots for docs/performance.md and README.md, and drift against the committed figures.

Nothing is measured here. The page is docs/performance.in.md with these marks filled in, each on a line of its own:

    <!-- machine -->               where and when the figures were taken
    <!-- targets -->               every row that has a target
    <!-- table: SECTION -->        a section: what it is about, and its rows
    <!-- rest -->                  the sections that no mark names
    <!-- plot: margins -->         how far each row is on the right side of its target
    <!-- plot: times SECTION [| STATE] -->  p50 and p99 of every side of a section (in one state of the host)
    <!-- plot: lines SECTION | X | Y -->    the rows that have `at`, a line for each series; X and Y are words for the axes"""

from __future__ import annotations

import difflib
import json
import pathlib
import re
from collections.abc import Sequence
from typing import Any

import plots
from frame import TAIL, TREE, Row, amount, figure_of, read_rows

RESULTS = TREE / "bench/results"
PAGE, SOURCE = "docs/performance.md", "docs/performance.in.md"
PEERS = (("cold", ""), ("peers", "host sleeping 8 ms"))  # section and state of the peers in README's table
BEGIN, END = "<!-- bench -->\n", "<!-- end bench -->\n"
Record = dict[str, Any]

# A row has moved if its figure is more than this share away from the committed one and the quartiles of the two do not meet.
DRIFT = 0.25
# A 99th percentile is made of a few turns: it has moved if it is twice or half of what it was.
TAIL_DRIFT = 1.0


def load(folder: pathlib.Path) -> list[Record]:
    """In the order in which the sections are run."""
    records = [json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))]
    return sorted(records, key=lambda record: record.get("order", 99))


# ---- Tables ---------------------------------------------------------------------------------------------------


def cell(words: str) -> str:
    return words.replace("|", "\\|").replace("\n", " ")


def measured(row: Row) -> tuple[str, str]:
    """p50 and p99 of both sides, for people."""

    def one(p50: float | None, p99: float | None) -> str:
        return "" if p50 is None else f"{amount(p50, row.unit)} ({amount(p99, row.unit)})"

    return one(row.p50, row.p99), one(row.theirs_p50, row.theirs_p99)


def verdict(row: Row) -> str:
    return {"holds": "holds", "MISSED": "**MISSED**", "not run": f"not run: {cell(row.reason)}"}.get(row.word, "")


def label(row: Row) -> str:
    return row.name + (f", {row.state}" if row.state else "")


def table(rows: Sequence[Row]) -> list[str]:
    lines = ["| | ours: p50 (p99) | against | its p50 (p99) | figure | target | |", "|---|---:|---|---:|---:|---:|---|"]
    for row in rows:
        ours, theirs = measured(row)
        other = f"{row.theirs} ({row.kind})" if row.theirs and row.kind else row.theirs
        words = "; ".join(part for part in (verdict(row), cell(row.detail)) if part)
        lines.append(f"| {cell(label(row))} | {ours} | {cell(other)} | {theirs} | {figure_of(row)} | {row.goal} | {words} |")
    return lines


def section(record: Record) -> list[str]:
    lines = [f"### {record['title']}", ""]
    lines += [record["about"], ""] if record["about"] else []
    note = f"--only {record['section']}; {record['date']}, commit {record['commit']}, {record['seconds']} s, load {record['load_at_start']} to {record['load_at_end']}"
    return [*lines, *table(read_rows(record)), "", f"<sub>{note}{', --quick' if record['quick'] else ''}</sub>", ""]


def machine(records: Sequence[Record]) -> list[str]:
    lines = []
    for words in dict.fromkeys(machine_words(record) for record in records):
        dates = sorted({record["date"] for record in records if machine_words(record) == words})
        span = dates[0] if len(dates) == 1 else f"{dates[0]} to {dates[-1]}"
        lines.append(f"{words}; {span}.")
    return lines


def machine_words(record: Record) -> str:
    given = record["machine"]
    return (f"{given['processor']}, {given['cpus']} CPUs, {given['memory_mb'] >> 10} GiB, Linux {given['kernel']}, "
            f"CPython {given['python']}")  # fmt: skip


def targets(records: Sequence[Record]) -> list[str]:
    rows = [row for record in records for row in read_rows(record) if row.target is not None]
    met = sum(row.holds for row in rows)
    return [f"{met} of {len(rows)} targets are met.", "", *table(rows), ""]


# ---- Plots ----------------------------------------------------------------------------------------------------


def plot(words: str, records: Sequence[Record]) -> tuple[str, str]:
    """The name of a plot and its SVG; an empty one where there is nothing to draw."""
    kind, _, rest = words.partition(" ")
    name, *more = (part.strip() for part in rest.split("|"))
    rows = [row for record in records if kind == "margins" or record["section"] == name for row in read_rows(record)]
    rows = [row for row in rows if row.figure is not None and row.figure > 0]
    if kind == "margins":
        return "margins", plot_margins([row for row in rows if row.target])
    if kind == "times":
        state = more[0] if more else ""
        return re.sub(r"\W+", "-", f"{name} {state}".strip()), plot_times(rows, state)
    if kind == "lines":
        below, beside = (*more, "", "")[:2]
        return name, plot_lines([row for row in rows if row.at is not None], below, beside)
    raise ValueError(f"{words}: no plot is called that")


def plot_margins(rows: Sequence[Row]) -> str:
    names = [label(row) for row in rows]
    items = []
    for row, name in zip(rows, names, strict=True):
        whole = f"{name}, against {row.theirs}" if names.count(name) > 1 else name
        items.append((whole, margin(row), plots.GREEN if row.holds else plots.RED, f"{figure_of(row)} ({row.goal})"))
    return plots.bars(items, 1, "margin to the target; right of the line it holds", lambda x: f"{x:g}") if items else ""


def plot_times(rows: Sequence[Row], state: str) -> str:
    """Each side once, the quickest first. Floors are green, belljar blue."""
    found: dict[str, tuple[float, float, str]] = {}
    for row in rows:
        if row.unit != "s" or row.p50 is None or row.p99 is None or row.theirs == TAIL or (state and row.state != state):
            continue
        found.setdefault(f"belljar: {row.ours if state else label(row)}", (row.p50, row.p99, plots.BLUE))
        if row.theirs_p50 is not None and row.theirs_p99 is not None:
            other = f"{row.theirs}: {label(row)}" if row.state and not state else row.theirs
            found.setdefault(other, (row.theirs_p50, row.theirs_p99, plots.GREEN if row.kind == "floor" else plots.GREY))
    spans = [(who, p50, p99, colour) for who, (p50, p99, colour) in sorted(found.items(), key=lambda item: item[1][0])]
    return plots.spans(spans, "dot: p50; end of the line: p99", lambda x: amount(x, "s")) if spans else ""


def plot_lines(rows: Sequence[Row], below: str, beside: str) -> str:
    series: dict[str, list[tuple[float, float]]] = {}
    for row in rows:
        if row.at is not None and row.figure is not None:
            series.setdefault(row.series or row.name, []).append((row.at, row.figure))
    unit = next((row.figure_unit for row in rows if row.figure_unit != "x"), "")
    return plots.lines(series, below, beside, lambda y: amount(y, unit)) if series else ""


def margin(row: Row) -> float:
    assert row.figure is not None and row.target is not None
    return row.figure / row.target if row.at_least else row.target / row.figure


# ---- The pages ------------------------------------------------------------------------------------------------


def page(source: str, records: Sequence[Record]) -> tuple[str, dict[str, str]]:
    """docs/performance.md and its plots by name."""
    drawn: dict[str, str] = {}
    named = set(re.findall(r"^<!-- table: (\S+) -->$", source, re.MULTILINE))
    by_name = {record["section"]: record for record in records}

    def fill(match: re.Match[str]) -> str:
        word, _, rest = match[1].partition(": ")
        if word == "machine":
            return "\n".join(machine(records))
        if word == "targets":
            return "\n".join(targets(records)).strip()
        if word == "table":
            return "\n".join(section(by_name[rest])).strip() if rest in by_name else f"(`{rest}` was not run.)"
        if word == "rest":
            return "\n".join(line for record in records if record["section"] not in named for line in section(record)).strip()
        if word == "plot":
            name, drawing = plot(rest, records)
            drawn.update({f"docs/plots/{name}.svg": drawing} if drawing else {})
            return f"![{rest.replace('|', ':')}](plots/{name}.svg)" if drawing else "(Nothing was run that this plot shows.)"
        return match[0]

    made = "<!-- Made by bench/report.py of docs/performance.in.md and bench/results/: change those. -->\n"
    return made + re.sub(r"^<!-- (.+) -->$", fill, source, flags=re.MULTILINE), drawn


def readme_part(records: Sequence[Record]) -> str:
    """Between README's marks: the machine, what has a target, and the peers."""
    lines = [f"{' '.join(machine(records))} In parentheses: the 99th percentile.", ""]
    lines += ["| | belljar | against | its time | figure | aim | |", "|---|---:|---|---:|---:|---:|---|"]
    for record in records:
        for row in read_rows(record):
            if row.target is not None or (row.kind == "peer" and not row.reason and (record["section"], row.state) in PEERS):
                ours, theirs = measured(row)
                word = {"MISSED": "missed", "not run": "not run"}.get(row.word, "")
                lines.append(
                    f"| {cell(label(row))} | {ours} | {cell(row.theirs)} | {theirs} | {figure_of(row)} | {row.goal} | {word} |"
                )
    return "\n".join(lines) + "\n"


def pages(tree: pathlib.Path, results: pathlib.Path) -> dict[str, str]:
    """Every file that is made of the results, with its text."""
    records = load(results)
    text, drawn = page((tree / SOURCE).read_text(), records)
    before, _, rest = (tree / "README.md").read_text().partition(BEGIN)
    after = rest.partition(END)[2]
    return {PAGE: text, **drawn, "README.md": before + BEGIN + readme_part(records) + END + after}


def stale(tree: pathlib.Path, results: pathlib.Path) -> list[str]:
    """How the files differ from what the results give: a diff."""
    found: list[str] = []
    given = pages(tree, results)
    for name, text in given.items():
        there = (tree / name).read_text() if (tree / name).exists() else ""
        found += difflib.unified_diff(
            there.splitlines(), text.splitlines(), name, f"{name}, as the results give it", lineterm="", n=0
        )
    for path in sorted((tree / "docs/plots").glob("*.svg")):
        if f"docs/plots/{path.name}" not in given:
            found.append(f"docs/plots/{path.name}: no mark of {SOURCE} asks for it")
    return found


def write(tree: pathlib.Path, results: pathlib.Path) -> None:
    (tree / "docs/plots").mkdir(exist_ok=True)
    given = pages(tree, results)
    for path in (tree / "docs/plots").glob("*.svg"):
        if f"docs/plots/{path.name}" not in given:
            path.unlink()
    for name, text in given.items():
        (tree / name).write_text(text)


# ---- Drift ----------------------------------------------------------------------------------------------------


def drift(old: Sequence[Record], new: Sequence[Record]) -> list[str]:
    """A line for each row of the new results that is not as the committed ones have it. Sections that were not run are left out."""
    there = {record["section"] for record in old}
    found = [
        f"new:  {record['section']}, a section of {len(record['rows'])} rows" for record in new if record["section"] not in there
    ]
    new = [record for record in new if record["section"] in there]
    ran = {record["section"] for record in new}
    before = {row.key: row for record in old if record["section"] in ran for row in read_rows(record)}
    after = {row.key: row for record in new for row in read_rows(record)}
    found += [line for key, row in after.items() if key in before and (line := moved(before[key], row))]
    found += [f"new:  {full_name(row)}: {figure_of(row)}" for key, row in after.items() if key not in before]
    found += [f"gone: {full_name(row)}: it was {figure_of(row)}" for key, row in before.items() if key not in after]
    return found


def full_name(row: Row) -> str:
    return f"{row.section}: {label(row)}{' against ' + row.theirs if row.theirs else ''}"


def moved(old: Row, new: Row) -> str:
    """How a row has moved; empty if it has not."""
    if old.figure is None and new.figure is None:
        return ""
    if old.figure is None or new.figure is None:
        return f"{full_name(new)}: {old.reason or figure_of(old)}, now {new.reason or figure_of(new)}"
    change = new.figure / old.figure - 1 if old.figure else 0.0
    allowed = TAIL_DRIFT if new.theirs == TAIL else DRIFT
    far = change > allowed or change < 1 / (1 + allowed) - 1
    apart = None in (old.low, old.high, new.low, new.high) or new.low > old.high or new.high < old.low  # type: ignore[operator]
    turned = old.word != new.word
    if not (far and apart) and not turned:
        return ""
    better = (change > 0) == new.at_least
    how = f"{abs(change):.0%} {'better' if better else 'worse'}" if far and apart else "within the noise"
    return f"{full_name(new)}: {figure_of(old)}, now {figure_of(new)} ({how}{f'; {old.word}, now {new.word}' if turned else ''})"
