"""Looks at processes from outside, as /proc shows them: for tests that count what is left."""

from __future__ import annotations

import os
import pathlib
import time
from collections.abc import Callable


def stat_of(pid: int) -> tuple[int, str] | None:
    """(parent, state), or None if it is gone."""
    try:
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return None
    return int(fields[1]), fields[0]


def pids() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdecimal()]


def children(pid: int) -> list[int]:
    return [child for child in pids() if (found := stat_of(child)) is not None and found[0] == pid]


def descendants(pid: int) -> list[int]:
    parents = {child: found[0] for child in pids() if (found := stat_of(child)) is not None}
    result, grown = [], [pid]
    while grown:
        grown = [child for child, parent in parents.items() if parent in grown]
        result += grown
    return result


def name_of(pid: int) -> str:
    try:
        return pathlib.Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


def supervisors() -> list[int]:
    """The supervisors of this process's templates, the newest last (numbers of processes wrap)."""
    return sorted((pid for pid in children(os.getpid()) if name_of(pid).startswith("belljar-super")), key=started)


def started(pid: int) -> int:
    """When, in clock ticks since boot: field 22 of proc(5)'s stat."""
    return int(pathlib.Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()[19])


def status(pid: int) -> dict[str, str]:
    text = pathlib.Path(f"/proc/{pid}/status").read_text()
    return {key: value.strip() for key, _, value in (line.partition(":") for line in text.splitlines())}


def inner_pid(pid: int) -> int:
    """Its number as itself and its siblings see it."""
    return int(status(pid).get("NSpid", str(pid)).split()[-1])


def living(pid: int) -> list[int]:
    """Children that are not zombies."""
    return [child for child in children(pid) if (found := stat_of(child)) is not None and found[1] not in "ZX"]


def settled(pid: int, quiet: float = 0.5, at_most: float = 15) -> list[int]:
    """Children that are not zombies, once none has come or gone for `quiet` seconds: a pool may still be filling."""
    found, since = living(pid), time.monotonic()
    deadline = since + at_most
    while time.monotonic() < min(since + quiet, deadline):
        time.sleep(0.02)
        if (now := living(pid)) != found:
            found, since = now, time.monotonic()
    return found


def zombies(pid: int) -> list[int]:
    return [child for child in descendants(pid) if (stat_of(child) or (0, ""))[1] == "Z"]


def resident_kb(pid: int) -> int:
    return int(status(pid)["VmRSS"].split()[0])


def descriptors(pid: int) -> int | None:
    """How many it has open; None if this user may not know."""
    try:
        return len(os.listdir(f"/proc/{pid}/fd"))
    except PermissionError:
        return None


def wait_until(condition: Callable[[], object], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.01)
    return bool(condition())


def is_powerless_root():
    """Whether this is a container's root without any capability: belljar stays who it is there, and guests are the owner of root's files."""
    return os.geteuid() == 0 and int(status(os.getpid())["CapEff"], 16) == 0
