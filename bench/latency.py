"""A run in a fresh guest: from the pool in each state of the host, with an empty pool, as many as there can be."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Callable

from frame import ENVIRONMENT, HERE, PYTHON, STATES, Bench, Section, Side
from parts import PlainFork, expect, modules_of, spawn

from belljar import Policy, Sandbox, Template

# name, what is preloaded, the code, the same as an expression, its result, the targets against python3 -I -c with a busy host
CASES: list[tuple[str, list[str], str, str, str, float]] = [
    ("1+1", [], "1+1", "1+1", "2", 60),
    ("numpy", ["numpy"], "import numpy; numpy.arange(10).sum()", "__import__('numpy').arange(10).sum()", "45", 220),
]
AGAINST_FORK = {"host sleeping 8 ms": 0.8, "host busy 8 ms": 1.5}
WARM: dict[str, Callable[[], None]] = {**STATES, "host sleeping 30 ms": lambda: time.sleep(0.03)}
TAILS = {"host sleeping 8 ms": 2.0, "host busy 8 ms": 2.0, "host busy 3 ms": 4.0}


def warm(bench: Bench) -> None:
    """A parked guest answers `1+1`, or sums a numpy array. Its successor is forked meanwhile, so what the host does between two runs
    matters: it is a row of its own. The floor is a parked and warmed child of a plain Python that has imported the same modules: no
    lockdown, no limits, no streams. In the tight loop there is no time to park anything: the floor forks on demand, and so do we.
    """
    for name, preload, code, expression, text, target in CASES:
        for state, pause in WARM.items():
            with Template(Policy(), preload=preload, parked=2) as template, PlainFork(modules_of(template)) as plain:
                tight = state == "tight loop"
                ours = Side("Template.run", lambda: expect(template, code, text), pause)  # noqa: B023

                def park() -> None:
                    plain.park()  # noqa: B023
                    pause()  # noqa: B023

                def fork_and_run() -> None:
                    plain.park()  # noqa: B023
                    plain.run(expression)  # noqa: B023

                floor = Side("a parked plain fork", lambda: plain.run(expression), park, kind="floor")  # noqa: B023
                if tight:
                    floor = Side("a plain fork on demand", fork_and_run, kind="floor")
                cold = Side("python3 -I -c", lambda: spawn(PYTHON, "-I", "-c", code), pause, turns=4, kind="baseline")  # noqa: B023
                if preload:
                    cold.turns, cold.every = 2, 2
                bench.alternate([ours, floor, cold], rounds=44, seconds=15)
            bench.row(name, ours, floor, state=state, target=AGAINST_FORK.get(state) if name == "1+1" else None)
            bench.row(name, ours, cold, state=state, target=target if state == "host busy 8 ms" else None, at_least=True)
            bench.tail(f"{name}: p99 to p50", ours, state=state, target=TAILS.get(state) if name == "1+1" else None)
            bench.tail(f"{name}: p99 to p50 of the floor", floor, state=state)


def empty(bench: Bench) -> None:
    """The one parked guest is taken away first, so that the run has to wait for a fork and its lockdown."""
    with Template(Policy(), parked=1) as template, PlainFork(modules_of(template)) as plain:
        state = "host busy 8 ms"
        taken: list[Sandbox] = []

        def take() -> None:
            for sandbox in taken:
                sandbox.close()
            taken.clear()
            STATES[state]()
            taken.append(template.sandbox())

        def fork_and_run() -> None:
            plain.park()
            plain.run("1+1")

        ours = Side("Template.run", lambda: expect(template, "1+1", "2"), take, turns=6)
        floor = Side("a plain fork on demand", fork_and_run, STATES[state], turns=6, kind="floor")
        cold = Side("python3 -I -c", lambda: spawn(PYTHON, "-I", "-c", "1+1"), STATES[state], turns=3, kind="baseline")
        bench.alternate([ours, floor, cold], rounds=40, seconds=12)
        for sandbox in taken:
            sandbox.close()
    bench.row("1+1, empty pool", ours, floor, state=state)
    bench.row("1+1, empty pool", ours, cold, state=state, target=8, at_least=True)


def throughput(bench: Bench) -> None:
    """Fresh guests a second on all cores, two threads for each, against as many bare loops of fork, run, exit, reap in a plain Python
    with the same modules as there are cores."""
    cores = len(os.sched_getaffinity(0))
    seconds = 0.6 if bench.quick else 1.5
    for name, preload, code, _, text, _ in CASES:
        with Template(Policy(), preload=preload, parked=8) as template:
            modules = ",".join(modules_of(template))

            def ours() -> float:
                counts = [0] * (2 * cores)
                end = time.monotonic() + seconds

                def work(at: int) -> None:
                    while time.monotonic() < end:
                        expect(template, code, text)  # noqa: B023
                        counts[at] += 1  # noqa: B023

                threads = [threading.Thread(target=work, args=(at,)) for at in range(len(counts))]
                for thread in threads:
                    thread.start()
                for thread in threads:
                    thread.join()
                return sum(counts) / seconds

            def bare() -> float:
                command = [PYTHON, "-I", str(HERE / "plain_fork.py"), "loop", modules, str(seconds)]  # noqa: B023
                loops = [subprocess.Popen(command, stdout=subprocess.PIPE, env=ENVIRONMENT) for _ in range(cores)]
                return sum(int(loop.communicate()[0]) for loop in loops) / seconds

            mine = Side("Template.run", ours, turns=1, unit="/s")
            floor = Side("bare fork, run, exit, reap", bare, turns=1, unit="/s", kind="floor")
            bench.alternate([mine, floor], rounds=5, seconds=25)
        target = 0.45 if not preload else None
        bench.row(f"fresh guests a second, {name}, {cores} cores", mine, floor, target=target, at_least=True)


SECTIONS = [
    Section("warm", "A run from the pool", warm),
    Section("empty", "A run with an empty pool", empty),
    Section("throughput", "Fresh guests a second", throughput),
]
