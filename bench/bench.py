"""Everything that is measured, in one command: `make bench` (about a quarter of an hour; OPTIONS=--quick: three minutes).

Each section (frame.py says what that is) is written to build/bench/SECTION.json as soon as it is done. At the end stand the rows
that have moved against the committed figures, bench/results/ (report.py has the rule). --write makes the last run the committed
one, and of it docs/performance.md, its plots and README's table."""

from __future__ import annotations

import argparse
import importlib
import os
import pathlib
import shutil
import time

import report
from frame import TREE, Bench, Section, machine, run_section, write_json

MODULES = ("latency", "sessions", "peers", "inside", "strict", "mcp", "density", "live", "wide", "suite")
LAST = TREE / "build/bench"


def sections() -> list[Section]:
    return [section for name in MODULES for section in importlib.import_module(name).SECTIONS]


def measure(wanted: list[tuple[int, Section]], quick: bool) -> None:
    bench = Bench(quick, patience=True)
    begun = time.monotonic()
    print(", ".join(f"{name} {value}" for name, value in machine().items()) + f", load {os.getloadavg()[0]:.2f}", flush=True)
    for number, (order, section) in enumerate(wanted, 1):
        minutes, seconds = divmod(int(time.monotonic() - begun), 60)
        print(f"\n== {section.title} ({section.word}, {number} of {len(wanted)}, {minutes}:{seconds:02})", flush=True)
        write_json({"order": order, **run_section(section, bench)}, LAST)
    aimed = [row for row in bench.rows if row.target is not None]
    print(f"\n{sum(row.holds for row in aimed)} of {len(aimed)} targets met, {sum(bool(row.reason) for row in bench.rows)} rows not run, "
          f"{(time.monotonic() - begun) / 60:.1f} minutes, load {os.getloadavg()[0]:.2f}")  # fmt: skip


def compare(ran: set[str] | None) -> None:
    new = [record for record in report.load(LAST) if ran is None or record["section"] in ran]
    old = report.load(report.RESULTS)
    here, there = ({report.machine_words(record) for record in records} for records in (new, old))
    if there and not here <= there:
        print("\nThe committed figures are of another machine: " + "; ".join(sorted(there)))
    lines = report.drift(old, new)
    print("\nAgainst bench/results/, " + (f"{len(lines)} things have moved:" if lines else "nothing has moved."))
    print("\n".join(lines))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", metavar="WORD", help="the sections whose name has it")
    parser.add_argument("--quick", action="store_true", help="a sixth of the rounds")
    parser.add_argument("--last", action="store_true", help="measure nothing, take what the last run measured")
    parser.add_argument(
        "--compare", action="store_true", help="print what has moved since the committed results (after every run as well)"
    )
    parser.add_argument("--write", action="store_true", help="make the results the committed ones, and write the pages")
    parser.add_argument("--list", action="store_true", help="print the names of the sections")
    options = parser.parse_args()
    wanted = [(order, section) for order, section in enumerate(sections()) if options.only in section.word]
    if not wanted:
        parser.error(f"no section has {options.only!r} in its name: --list names them")
    if options.list:
        print("\n".join(f"{section.word:16} {section.title}" for _, section in wanted))
        return 0
    last = options.last or (options.compare and not options.write)
    if not last:
        measure(wanted, options.quick)
    compare({section.word for _, section in wanted} if options.only or not last else None)
    if options.write:
        report.RESULTS.mkdir(exist_ok=True)
        words = {section.word for section in sections()}
        for old in report.RESULTS.glob("*.json"):
            if old.stem not in words:
                old.unlink()  # it is measured no more
        for _, section in wanted:
            path: pathlib.Path = LAST / f"{section.word}.json"
            if path.exists():
                shutil.copy(path, report.RESULTS)
        report.write(TREE, report.RESULTS)
        print(f"written: bench/results/, {report.PAGE}, docs/plots/, README.md")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
