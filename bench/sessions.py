"""What sessions cost: a round trip in each placement, many runs on one event loop, calls of the host, copies, arrays in."""

from __future__ import annotations

import asyncio
import dataclasses
import multiprocessing
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from frame import PYTHON, STATES, Bench, Section, Side
from parts import FORKER, STATE, Pong

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
                    bench.alternate([ours, floor], rounds=30, seconds=4)
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


# ---- Calls, copies, arrays --------------------------------------------------------------------------------------

CALLS = """
import time
_begun = time.perf_counter()
for _ in range({count}): {what}
(time.perf_counter() - _begun) / {count}
"""


@dataclasses.dataclass
class Shown:
    price: float


def calls(bench: Bench) -> None:
    """A call of a function of the host's and an attribute of a host's object, from inside, against a ping-pong of two Pythons: the time of
    one, out of 500 in a row."""
    count = 500
    with Sandbox(Policy(timeout=None)) as sandbox, Pong() as pong:
        sandbox.expose(lambda: 1, "host")
        sandbox["shown"] = belljar.readonly(Shown(1.0))

        def inside(what: str) -> Callable[[], float]:
            def run() -> float:
                execution = sandbox.run_code(CALLS.format(count=count, what=what))
                if execution.error is not None:
                    raise RuntimeError(execution.error.traceback)
                return float(execution.value)

            return run

        host, proxy = Side("a call of the host", inside("host()"), turns=2), Side("an attribute", inside("shown.price"), turns=2)
        floor = Side("a ping-pong of two Pythons", lambda: pong.trips(count), turns=2, kind="floor")
        bench.alternate([host, proxy, floor], rounds=20, seconds=8)
    bench.row("a call of the host from inside", host, floor)
    bench.row("an attribute of a host's object from inside", proxy, floor)


HELD = STATE.format(pages=25600)


def copies(bench: Bench) -> None:
    """`fork()` of a session that holds 100 MB, and that with the copy's first run, against `os.fork()` of a plain Python that holds as much,
    to the first byte of its child."""
    command = [PYTHON, "-I", "-c", FORKER.format(state=HELD)]
    with Sandbox(Policy(timeout=60, memory="1G")) as sandbox, subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as plain:
        assert plain.stdin is not None and plain.stdout is not None
        asking, answers = plain.stdin, plain.stdout
        answers.readline()
        if (execution := sandbox.run_code(HELD)).error is not None:
            raise RuntimeError(execution.error.traceback)
        copied: list[Sandbox] = []

        def clear() -> None:
            while copied:
                copied.pop().close()

        def copy() -> None:
            copied.append(sandbox.fork())

        def copy_and_run() -> None:
            copy()
            if copied[-1].run_code("len(state)").value != 25600:
                raise RuntimeError("the copy has not the state")

        def fork() -> float:
            asking.write("\n")
            asking.flush()
            return float(answers.readline())

        alone, first = Side("Sandbox.fork()", copy, clear, turns=2), Side(
            "Sandbox.fork() and run_code", copy_and_run, clear, turns=2
        )
        floor = Side("os.fork() and its first byte", fork, clear, turns=2, kind="floor")
        bench.alternate([alone, first, floor], rounds=12, seconds=10)
        clear()
        asking.close()
    bench.row("a copy of a session with 100 MB", alone, floor)
    bench.row("a copy of a session with 100 MB, and its first run", first, floor)


def receive(pipe: multiprocessing.connection.Connection) -> None:
    while (array := pipe.recv()) is not None:
        pipe.send(float(array[-1]))


def arrays(bench: Bench) -> None:
    """An array in, against multiprocessing's pickle through a pipe, until the other side has looked at it: one that numpy made, which is
    copied once, and one of `belljar.empty`, which is not."""
    import numpy

    free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    context = multiprocessing.get_context("fork")
    here, there = context.Pipe()
    for size_mb in (1, 16, 256, 1024):
        if free < size_mb * 6 << 20:
            bench.not_run(f"{size_mb} MB in", f"only {free >> 20} MB of memory are free")
            continue
        plain, shared = numpy.ones(size_mb << 17), belljar.empty(size_mb << 17)
        shared[:] = 1
        child = context.Process(target=receive, args=(there,))
        child.start()
        with Sandbox(Policy(timeout=120), preload=["numpy"]) as sandbox:

            def clear() -> None:
                sandbox.run_code("a = None")  # noqa: B023  # to free another array is no part of it

            def give(array: object) -> None:
                sandbox["a"] = array  # noqa: B023
                if sandbox.run_code("float(a[-1])").value != 1.0:  # noqa: B023
                    raise RuntimeError("the array did not arrive")

            def pickled() -> None:
                here.send(plain)  # noqa: B023
                here.recv()

            turns = 1 if size_mb > 100 else 3
            sides = {name: Side("sandbox[...] = array", lambda array=array: give(array), clear, turns)
                     for name, array in (("numpy's", plain), ("belljar.empty's", shared))}  # fmt: skip
            peer = Side("a pickle through a pipe", pickled, turns=turns, every=3 if turns == 1 else 1, kind="baseline")
            bench.alternate([*sides.values(), peer], rounds=6 if turns == 1 else 10, seconds=12)
        for name, side in sides.items():
            target = 2000 if size_mb == 1024 and name != "numpy's" else None
            bench.row(f"{size_mb} MB in, {name}", side, peer, target=target, at_least=True, at=size_mb, series=name)
        here.send(None)
        child.join()


SECTIONS = [
    Section("sessions", "A session's round trip", trips),
    Section("loop", "Runs gathered on one event loop", loop),
    Section("calls", "Calls of the host", calls),
    Section("copies", "Copies of a session", copies),
    Section("arrays", "Arrays in", arrays),
]
