"""run.py [--only WORD] [--write FILE] PYTHON…: has each program of programs/ run outside, in a guest that imports after its lockdown, and in
a guest whose packages are preloaded; at the default limits, by each of the interpreters. Output and exit status must be those outside,
and no refusal may be on record. Prints the table; ends with 1 if a row is not as it should be."""

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
from table import ROWS, Row

PROGRAMS = pathlib.Path(__file__).resolve().parent / "programs"
LIMIT_S = 120
MANNERS = ("after lockdown", "preloaded")


def module_names(row: Row) -> list[str]:
    return row.preload.split()


def version_of(python: str) -> str:
    return subprocess.check_output([python, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"], text=True).strip()


def missing(python: str, row: Row) -> str:
    """The first of its distributions that this interpreter does not have."""
    code = "import sys, importlib.metadata as m\nfor n in sys.argv[1:]:\n  try: m.version(n)\n  except m.PackageNotFoundError: print(n); break"
    return subprocess.check_output([python, "-c", code, *row.needs.split()], text=True).strip()


def outside(python: str, code: str) -> tuple[str, int, str]:
    with tempfile.TemporaryDirectory() as folder:
        environment = {"PATH": "/usr/bin:/bin", "HOME": folder, "LANG": "C.UTF-8", "TZ": "UTC"}
        done = subprocess.run([python, "-X", "utf8", "-c", code], cwd=folder, env=environment, capture_output=True, text=True, timeout=600)
    return done.stdout, done.returncode, done.stderr


def inside(python: str, code: str, preload: list[str]) -> tuple[str, int, str, str]:
    """Its output, exit status, what there is to say of it, and the record of refusals."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        try:
            with belljar.Template(belljar.Policy(timeout=LIMIT_S), preload=preload, python=python) as template:
                ended = template.run(code)
        except belljar.SandboxError as error:
            return "", -1, str(error), ""
    words = "; ".join(str(warning.message) for warning in said)
    if ended.verdict != "ok":
        words = f"{ended.verdict}: {ended.error.value if ended.error else ''} {ended.stderr[-600:]} {words}"
    return ended.stdout, ended.exit, words, "; ".join(f"{v.op} {v.target} ({v.rule})" for v in ended.violations)


def try_row(python: str, row: Row) -> list[tuple[str, str]]:
    """For each manner: a word and the details."""
    absent = missing(python, row)
    if absent:
        return [("–", f"{absent} is not to be had for this interpreter")] * len(MANNERS)
    code = (PROGRAMS / (row.program + ".py")).read_text()
    wanted, status, errors = outside(python, code)
    if status != 0:
        return [("fails outside", errors.strip().rpartition("\n")[2])] * len(MANNERS)
    found = []
    for preload in ([], module_names(row)):
        output, status, words, refused = inside(python, code, preload)
        if status != 0:
            found.append(("fails", words))
        elif output != wanted:
            found.append(("differs", f"outside {wanted!r}, inside {output!r} {words}"))
        elif refused:
            found.append(("refusals", refused))
        else:
            found.append(("ok in each guest" if words else "ok", words))
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pythons", nargs="+")
    parser.add_argument("--only", default="")
    options = parser.parse_args()
    bad = 0
    for python in options.pythons:
        version = version_of(python)
        rows = [row for row in ROWS if (row.is_main or version == "3.11") and options.only in row.program]
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            for row, results in zip(rows, pool.map(lambda row: try_row(python, row), rows)):
                print(f"{version} {row.program:16}", *(f"{word:18}" for word, _ in results), flush=True)
                for manner, (word, details) in zip(MANNERS, results):
                    if word != "ok":
                        print(f"    {manner}: {details[:1500]}", flush=True)
                bad += sum(word in ("fails", "differs", "refusals") for word, _ in results)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
