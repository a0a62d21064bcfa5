"""What sessions cost: a round trip in each placement, and many runs on one event loop."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

from frame import PYTHON, STATES, Bench, Section, Side
from parts import Pong

import belljar
from belljar import Policy, Sandbox, Template

CPUS = sorted(os.sched_getaffinity(0))
# name -> where the host is, and where what it starts (guest and supervisor; the other Python of the ping-pong)
PLACEMENTS: dict[str, tuple[set[int], set[int]]] = {
    "one CPU": ({CPUS[-1]}, {CPUS[-1]}),
    "unpinned": (set(CPUS), set(CPUS)),
    "two CPUs apart": ({CPUS[0]}, {CPUS[-1]}),
}


@contextmanager
def placed(cpus: set[int]) -> Iterator[None]:
    """Where this process is, and what it starts meanwhile."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cpus)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def trips(bench: Bench) -> None:
    """One expression evaluated in a session, against a round trip of 32 bytes between two plain Pythons, which evaluates nothing. Host
    and guest (with its supervisor) share one CPU, are where the scheduler puts them, or are on two CPUs; the Pythons likewise."""
    for place, (here, there) in PLACEMENTS.items():
        if place == "two CPUs apart" and here == there:
            bench.not_run('session run_code("1+1")', "this machine has one CPU", state=place, theirs="a ping-pong", target=3.5)
            continue
        for state, pause in STATES.items():
            if place != "unpinned" and state not in ("tight loop", "host sleeping 8 ms"):
                continue
            tight = state == "tight loop"
            with placed(there), Template(Policy(timeout=60)) as template, Sandbox(template=template) as sandbox, Pong() as pong:
                with placed(here):
                    ours = Side('run_code("1+1")', lambda: sandbox.run_code("1+1"), pause, turns=200 if tight else 12)  # noqa: B023
                    floor = Side("a ping-pong of two Pythons", pong.trip, pause, turns=200 if tight else 12, kind="floor")
                    bench.alternate([ours, floor], rounds=30, seconds=5)
            bench.row('session run_code("1+1")', ours, floor, state=f"{place}, {state}", target=3.5 if tight else None)


def loop(bench: Bench) -> None:
    """Runs gathered on one event loop (`arun`, each a fresh guest), against plain interpreters, eight at a time, as more would thrash.
    Each figure is the time for one."""
    count = 250 if bench.quick else 1000

    async def ours() -> None:
        executions = await asyncio.gather(*(belljar.arun(f"{n} + 1", python=PYTHON) for n in range(count)))
        if [execution.text for execution in executions] != [str(n + 1) for n in range(count)]:
            raise RuntimeError("a run has the wrong result")

    async def theirs() -> None:
        gate = asyncio.Semaphore(8)

        async def one(n: int) -> None:
            async with gate:
                process = await asyncio.create_subprocess_exec(
                    PYTHON, "-I", "-c", f"print({n} + 1)", stdout=asyncio.subprocess.PIPE
                )
                await process.communicate()

        await asyncio.gather(*(one(n) for n in range(count // 5)))

    def each(many: float, start: float) -> float:
        return (time.perf_counter() - start) / many

    def mine() -> float:
        start = time.perf_counter()
        asyncio.run(ours())
        return each(count, start)

    def plain() -> float:
        start = time.perf_counter()
        asyncio.run(theirs())
        return each(count // 5, start)

    belljar.run("1", python=PYTHON)
    run, interpreters = Side("arun", mine, turns=1), Side("python3 -I -c", plain, turns=1, kind="baseline")
    bench.alternate([run, interpreters], rounds=4, seconds=20)
    bench.row(f"{count} runs gathered on a loop, each", run, interpreters, at_least=True)


SECTIONS = [Section("sessions", "A session's round trip", trips), Section("loop", "Runs gathered on one event loop", loop)]
