"""Attacks on limits, measured from outside: what each reached before, what it reaches now, and the bound. The rows are in
table.py, the programs in attacks/, the host of each in host.py.

    BELLJAR_LIMITS_ALL=1          every row in every setting, those as well that are alike in all
    BELLJAR_LIMITS_RECORD=FILE    appends what was measured to FILE, a line of JSON each: how before.json was made"""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import subprocess
import sys

import pytest
import hanging_fuse
import table

core = pytest.mark.core
HERE = pathlib.Path(__file__).resolve().parent
BEFORE = json.loads((HERE / "before.json").read_text()) if (HERE / "before.json").exists() else {"rows": {}}
TITLE = "attacks on limits"
MAY = "import ctypes, sys; sys.exit(ctypes.CDLL(None).unshare(0x10000000) != 0)"  # a user namespace


def settings() -> list[str]:
    """The settings that can be had here. In a container the namespaces are refused already: one setting."""
    with open("/proc/1/cmdline", "rb") as file:
        is_container = b"pytest" in file.read()
    if is_container:
        return ["container"]
    who = "root" if os.geteuid() == 0 else "user"
    found = [who] if subprocess.run([sys.executable, "-c", MAY]).returncode == 0 else []
    return [*found, f"{who}, no namespaces"]


def line_of(row: table.Row, setting: str, before: object, now: object, verdict: str) -> str:
    def text(value: object) -> str:
        return f"{value:.1f}" if isinstance(value, float) else "" if value is None else str(value)

    return f"{row.name:38} {setting:22} {text(before):>9} {text(now):>9} {text(float(row.bound)):>9} {row.unit:8} {verdict}"


def measured(row: table.Row, setting: str) -> dict:
    request = {"how": row.how, "attack": row.attack + ".py", "policy": row.policy, **row.more,
               "namespaces": "refused" if "no namespaces" in setting else ""}  # fmt: skip
    command = [sys.executable, str(HERE / "host.py"), json.dumps(request)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stderr[-1500:]
    out = json.loads(done.stdout.splitlines()[-1])
    said = out.get("said", "")
    if row.measure == "reached" and "reached" not in out:
        out["reached"] = int("REACHED" in said)
    if "HELD" in said:
        out["held_mib"] = int(said.split()[said.split().index("HELD") + 1]) / 2**20
    elif row.measure == "held_mib":
        out["held_mib"] = 0.0  # it was ended, or got nothing
    return out


def why_not(row: table.Row, setting: str) -> str:
    if setting not in row.settings:
        return "not in this setting: see table.py"
    if row.alike and setting not in ("root", "user") and "BELLJAR_LIMITS_ALL" not in os.environ:
        return "alike in every setting: run there with BELLJAR_LIMITS_ALL=1"
    if row.how == "hanging":
        return hanging_fuse.why_not()
    if setting == "container" and row.slow:
        return "left out in containers, for time"
    return ""


def rows() -> list:
    """Those in whose figures others are, come one after the other, also where several processes run the tests."""
    return [pytest.param(row, id=row.name.replace(" ", "-"), marks=[pytest.mark.xdist_group("machine")] if is_shared(row) else [])
            for row in table.ROWS]  # fmt: skip


def is_shared(row: table.Row) -> bool:
    """Other processes can only make the figure larger: the machine's memory, or how long a neighbour waits for its turn."""
    return row.is_machines or row.measure == "times"


@core
@pytest.mark.parametrize("setting", settings())
@pytest.mark.parametrize("row", rows())
def test_the_bound_holds(row, setting, report, alone):
    if reason := why_not(row, setting):
        pytest.skip(reason)
    for attempt in range(3 if is_shared(row) else 1):  # it is measured again, by itself, before it is believed
        with alone() if attempt else contextlib.nullcontext():
            out = measured(row, setting)
        if out.get("skip"):
            pytest.skip(out["skip"])
        value = out.get(row.measure)
        if value is not None and value <= row.bound:
            break
    holds = value is not None and value <= row.bound
    before = BEFORE["rows"].get(f"{row.name} | {setting}")
    verdict = f"{'held' if holds else 'PASSED'}: {', '.join(out.get('verdicts', []))}"
    report(TITLE, line_of(row, setting, before, value, verdict))
    if record := os.environ.get("BELLJAR_LIMITS_RECORD"):
        with open(record, "a") as file:
            file.write(json.dumps([f"{row.name} | {setting}", value, out]) + "\n")
    assert holds, (row.measure, value, row.bound, out)
