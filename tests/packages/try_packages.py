"""try_packages.py PYTHON…: has each program of programs/ run outside, in a guest that imports after its lockdown, and in a guest whose
packages are preloaded; at the default limits, by each of the interpreters. Output and exit status must be those outside, and no refusal may
be on record. Prints a table and a summary; ends with 1 if a row is not as it should be."""

from __future__ import annotations

import argparse
import concurrent.futures
import os
import pathlib
import subprocess
import sys
import tempfile
import warnings

import belljar
from table import ROWS, Row, is_wanted

PROGRAMS = pathlib.Path(__file__).resolve().parent / "programs"
LIMIT_S = 120  # a first use compiles, and the machine may be busy: all other limits are the defaults
MANNERS = ("after the lockdown", "preloaded")
BAD = ("fails", "differs", "refusals")
Outcome = tuple[str, str]  # a word and the details


def version_of(python: str) -> str:
    return subprocess.check_output([python, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"], text=True).strip()


def versions(python: str, row: Row) -> list[str]:
    """Those of its distributions; "" for one that this interpreter does not have."""
    code = """if True:
        import importlib.metadata, sys
        for name in sys.argv[1:]:
            try:
                print(importlib.metadata.version(name))
            except importlib.metadata.PackageNotFoundError:
                print()
    """
    return subprocess.check_output([python, "-c", code, *row.needs.split()], text=True).splitlines()


def outside(python: str, code: str) -> tuple[str, int, str]:
    with tempfile.TemporaryDirectory() as folder:
        environment = {"PATH": "/usr/bin:/bin", "HOME": folder, "LANG": "C.UTF-8", "TZ": "UTC", "MPLBACKEND": "Agg"}
        done = subprocess.run(
            [python, "-X", "utf8", "-c", code], cwd=folder, env=environment, capture_output=True, text=True, timeout=600
        )
    return done.stdout, done.returncode, done.stderr


def inside(python: str, code: str, preload: list[str]) -> tuple[str, int, str, str]:
    """Its output, exit status, what there is to say of it, and the record of refusals."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # asked for below
        try:
            with belljar.Template(belljar.Policy(timeout=LIMIT_S), preload=preload, python=python) as template:
                told = template._pool.core.warnings()
                ended = template.run(code)
        except belljar.SandboxError as error:
            return "", -1, str(error), ""
    words = "; ".join(told)
    if ended.verdict != "ok":
        words = f"{ended.verdict}: {ended.error.value if ended.error else ''} {ended.stderr[-600:]} {words}"
    return ended.stdout, ended.exit, words, "; ".join(f"{v.op} {v.target} ({v.rule})" for v in ended.violations)


def try_row(python: str, row: Row) -> list[Outcome]:
    """For each manner, what came out."""
    absent = [name for name, version in zip(row.needs.split(), versions(python, row)) if not version]
    if absent:
        return [("not had", f"there is no wheel of {absent[0]} for this interpreter")] * len(MANNERS)
    code = (PROGRAMS / (row.program + ".py")).read_text()
    wanted, status, errors = outside(python, code)
    if status != 0:
        return [("fails outside", errors.strip().rpartition("\n")[2])] * len(MANNERS)
    found: list[Outcome] = []
    preloads: tuple[list[str], ...] = ([], row.preload.split())
    for preload in preloads:
        output, status, words, refused = inside(python, code, preload)
        if status != 0:
            found.append(("fails", words))
        elif output != wanted:
            found.append(("differs", f"outside {wanted!r}, inside {output!r} {words}"))
        elif refused:
            found.append(("refusals", refused))
        else:
            found.append(("each guest" if words else "ok", words))
    return found


def write_table(path: str, pythons: list[str], outcomes: dict[tuple[str, str], list[Outcome]]) -> None:
    """The outcomes as Markdown, for docs/packages.md."""
    numbers = [version_of(python) for python in pythons]
    heads = [f"{number} {manner}" for number in numbers for manner in MANNERS]
    lines = ["| program | packages | " + " | ".join(heads) + " | |", "|---" * (len(heads) + 3) + "|"]
    for row in ROWS:
        if (row.program, numbers[0]) not in outcomes:
            continue
        packages = ", ".join(f"{name} {version}" for name, version in zip(row.needs.split(), versions(pythons[0], row)))
        cells = [word for number in numbers for word, _ in outcomes.get((row.program, number), [("", "")] * len(MANNERS))]
        lines.append("| " + " | ".join([row.program, packages, *cells, row.note]) + " |")
    pathlib.Path(path).write_text("\n".join(lines) + "\n")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pythons", nargs="+")
    parser.add_argument("--only", default="")
    parser.add_argument("--short", action="store_true")
    parser.add_argument("--table", metavar="FILE")
    options = parser.parse_args()
    outcomes: dict[tuple[str, str], list[Outcome]] = {}
    for python in options.pythons:
        version = version_of(python)
        rows = [row for row in ROWS if is_wanted(row, version, options.short) and options.only in row.program]
        print(f"\n== Python {version}\n{'':16} {MANNERS[0]:20} {MANNERS[1]}", flush=True)
        with concurrent.futures.ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
            for row, results in zip(rows, pool.map(try_row, [python] * len(rows), rows)):
                outcomes[row.program, version] = results
                print(f"{row.program:16} {results[0][0]:20} {results[1][0]}", flush=True)
                for manner, (_, details) in zip(MANNERS, results):
                    if details:
                        print(f"    {manner}: {details[:1500]}", flush=True)
    if options.table:
        write_table(options.table, options.pythons, outcomes)
    words = [word for results in outcomes.values() for word, _ in results]
    counts = {word: words.count(word) for word in dict.fromkeys(words)}
    print(f"\n{len(words)} uses: " + ", ".join(f"{count} {word}" for word, count in counts.items()))
    return 1 if any(word in BAD for word in words) else 0


if __name__ == "__main__":
    sys.exit(main())
