"""Measures guests from outside: a process of its own that looks at everything below another process every two milliseconds.

    sampler.py PID

prints "ready", counts from the next line that it reads ("mark") and prints one JSON object when its standard input ends. It
trusts nothing that a guest or belljar says: the numbers are the kernel's, of processes that it finds by their parents. A
process whose first thread has gone has no memory on record under its own number, so then it looks at another thread."""

from __future__ import annotations

import collections
import json
import os
import select
import sys
import time

TICKS = os.sysconf("SC_CLK_TCK")
EVERY = 0.002
MEMORY = ("RssAnon", "VmPTE", "VmSwap")  # not RssShmem: one page of a file, mapped often, is in it as often
MACHINE = ("Shmem", "PageTables", "SUnreclaim", "KernelStack", "MemAvailable")


def read(path: str) -> str:
    with open(path, errors="replace") as file:
        return file.read()


def children(pid: int) -> list[int]:
    """In the order in which they were made."""
    try:
        return [int(child) for thread in os.listdir(f"/proc/{pid}/task")
                for child in read(f"/proc/{pid}/task/{thread}/children").split()]  # fmt: skip
    except OSError:
        return []


def name_of(pid: int) -> str:
    try:
        return read(f"/proc/{pid}/comm").strip()
    except OSError:
        return ""


def supervisors(pid: int) -> list[int]:
    """Those anywhere below it, but not below another supervisor."""
    found, queue = [], [pid]
    while queue:
        for child in children(queue.pop()):
            if name_of(child).startswith("belljar-super"):
                found.append(child)
            else:
                queue.append(child)
    return found


def guests(supervisor: int) -> list[int]:
    """All that the supervisor has below it, and what these have, but its init and its first Python, which is the zygote."""
    below = [pid for pid in children(supervisor) if name_of(pid) != "belljar-init"][1:]
    for pid in below:
        below.extend(children(pid))
    return below


def fields(path: str) -> dict[str, int]:
    """The lines "name: number unit" of a file."""
    found = {}
    for line in read(path).splitlines():
        name, _, rest = line.partition(":")
        word = rest.split()
        if word and word[0].isdigit():
            found[name] = int(word[0])
    return found


def memory_of(pid: int) -> tuple[int, int] | None:
    """(KiB of memory that are its own, threads), or None once it has gone."""
    try:
        found = fields(f"/proc/{pid}/status")
        if "VmPTE" not in found:
            for thread in os.listdir(f"/proc/{pid}/task"):
                other = fields(f"/proc/{pid}/task/{thread}/status")
                if "VmPTE" in other:
                    found = {**found, **other}
                    break
    except OSError:
        return None
    return sum(found.get(name, 0) for name in MEMORY), found.get("Threads", 0)


def state_of(pid: int) -> tuple[str, float]:
    """Its state's letter ("" if it has gone) and the seconds of CPU that it has had."""
    try:
        rest = read(f"/proc/{pid}/stat").rpartition(")")[2].split()
    except OSError:
        return "", 0.0
    return rest[0], (int(rest[11]) + int(rest[12])) / TICKS


def is_alive(pid: int) -> bool:
    """Not if it has ended. One whose first thread alone has is a zombie by its own letter, and lives."""
    state = state_of(pid)[0]
    try:
        return state not in ("", "X") and (state != "Z" or len(os.listdir(f"/proc/{pid}/task")) > 1)
    except OSError:
        return False


class Peaks:
    """What was seen since the mark."""

    def __init__(self, host: int) -> None:
        self.host = host
        self.start = time.monotonic()
        self.top: collections.defaultdict[str, float] = collections.defaultdict(float)
        self.machine = fields("/proc/meminfo")
        self.supervisors = supervisors(host)
        self.guest_cpu: dict[int, float] = {}
        self.supervisor_cpu: dict[int, float] = {}
        self.before = {pid: state_of(pid)[1] for supervisor in self.supervisors for pid in (supervisor, *guests(supervisor))}
        self.host_kib = self.resident(host)
        self.rounds = 0

    @staticmethod
    def resident(pid: int) -> int:
        try:
            return int(read(f"/proc/{pid}/statm").split()[1]) * 4
        except OSError:
            return 0

    def peak(self, name: str, value: float) -> None:
        self.top[name] = max(self.top[name], value)

    def look(self) -> None:
        self.rounds += 1
        if self.rounds % 32 == 1:
            self.supervisors = supervisors(self.host) or self.supervisors
        total, most, threads, living = 0, 0, 0, 0
        for supervisor in self.supervisors:
            self.supervisor_cpu[supervisor] = max(self.supervisor_cpu.get(supervisor, 0.0), state_of(supervisor)[1])
            self.peak("supervisor_mib", self.resident(supervisor) / 1024)
            for pid in guests(supervisor):
                state, cpu = state_of(pid)
                self.guest_cpu[pid] = max(self.guest_cpu.get(pid, 0.0), cpu)
                found = memory_of(pid)
                if found is None or state in ("", "X") or state == "Z" and not is_alive(pid):
                    continue
                living += 1
                total, most, threads = total + found[0], max(most, found[0]), max(threads, found[1])
        self.peak("guests_mib", total / 1024)
        self.peak("guest_mib", most / 1024)
        self.peak("threads", threads)
        self.peak("guests", living)
        self.peak("host_mib", (self.resident(self.host) - self.host_kib) / 1024)
        if self.rounds % 4 == 0:
            machine = fields("/proc/meminfo")
            for name in MACHINE:
                grown = machine[name] - self.machine[name]
                self.peak("machine_" + name, (-grown if name == "MemAvailable" else grown) / 1024)

    def result(self) -> dict[str, float]:
        cpu = [sum(max(0.0, cpu - self.before.get(pid, 0.0)) for pid, cpu in found.items())
               for found in (self.supervisor_cpu, self.guest_cpu)]  # fmt: skip
        return {**self.top, "supervisor_cpu": cpu[0], "guest_cpu": cpu[1],
                "samples": self.rounds, "every_ms": 1000 * (time.monotonic() - self.start) / max(1, self.rounds)}  # fmt: skip


def main() -> None:
    host = int(sys.argv[1])
    print("ready", flush=True)
    sys.stdin.buffer.raw.read(1)
    peaks = Peaks(host)
    print("counts", flush=True)
    waiting = select.poll()
    waiting.register(0, select.POLLHUP)
    while not waiting.poll(EVERY * 1000):
        peaks.look()
    print(json.dumps(peaks.result()), flush=True)


if __name__ == "__main__":
    main()
