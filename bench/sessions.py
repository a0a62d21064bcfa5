"""What sessions cost: a run in one, calls of the host, values in, branches, many on one loop. `make bench` runs it after
bench.py; `--quick` fewer rounds, `--only WORD` the benchmarks whose name has it.

As in bench.py every figure is a ratio to something that was run in the same rounds, alternating: medians, with the 99th
percentile beside them. A row that this machine cannot measure says so. Writes bench/results/sessions.json and sessions.png."""

from __future__ import annotations

import asyncio
import dataclasses
import multiprocessing
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable

from bench import Bench, Row, Times, main, timed

import belljar
from belljar import Policy, Sandbox, SandboxError, Template, readonly

PYTHON = "/usr/bin/python3"
CALLS = 2000


def unmeasured(bench: Bench, name: str, why: object) -> None:
    bench.rows.append(Row(name, "", "", float("nan"), None, True, f"not measured: {why}"))
    print(f"{name:46} not measured: {why}", flush=True)


# ---- A peer: two plain Pythons and a socket -----------------------------------------------------------------

PONG = """
import socket, sys
end = socket.socket(fileno=int(sys.argv[1]))
while data := end.recv(65536):
    end.sendall(data)
"""


class Pong:
    """A plain Python that sends back what it gets."""

    def __init__(self) -> None:
        self.end, theirs = socket.socketpair()
        command = [PYTHON, "-I", "-c", PONG, str(theirs.fileno())]
        self.process = subprocess.Popen(command, pass_fds=[theirs.fileno()])
        theirs.close()
        self.trip()

    def trip(self) -> None:
        self.end.sendall(b"x" * 32)
        self.end.recv(64)

    def trips(self, count: int) -> float:
        """Seconds for one, out of so many."""
        start = time.perf_counter()
        for _ in range(count):
            self.trip()
        return (time.perf_counter() - start) / count

    def close(self) -> None:
        self.end.close()
        self.process.wait()


# ---- The benchmarks -----------------------------------------------------------------------------------------


def run_code(bench: Bench) -> None:
    """One expression in a session, against a round trip between two plain Pythons that evaluates nothing."""
    with Template(Policy(timeout=60)) as template, Sandbox(template=template) as sandbox:
        pong = Pong()
        sandbox.run_code("x = 1")
        ours, theirs = Times('run_code("x+1")'), Times("socket ping-pong")
        for _ in range(bench.rounds * 4):
            timed(ours, lambda: sandbox.run_code("x+1"))
            timed(theirs, pong.trip)
        pong.close()
    bench.row('session run_code("x+1"), against a ping-pong', ours, theirs, 2.5, at_least=False)


LOOP = """
import time
_begun = time.perf_counter()
for _ in range({count}): {what}
(time.perf_counter() - _begun) / {count}
"""


@dataclasses.dataclass
class Shown:
    price: float


def calls(bench: Bench) -> None:
    """A call of the host and an attribute of a host object, from inside, against a ping-pong in the same rounds."""
    with Sandbox(Policy(timeout=None)) as sandbox:
        sandbox.expose(lambda: 1, "host")
        sandbox["shown"] = readonly(Shown(1.0))
        pong = Pong()
        rows = {"host call": "host()", "proxy attribute": "shown.price"}
        ours = {name: Times(name) for name in rows}
        theirs = Times("socket ping-pong")
        count = CALLS // 4
        for _ in range(max(bench.rounds // 12, 7)):
            for name, what in rows.items():
                execution = sandbox.run_code(LOOP.format(count=count, what=what))
                if execution.error is not None:
                    raise RuntimeError(execution.error.traceback)
                ours[name].seconds.append(execution.value)
            theirs.seconds.append(pong.trips(count))
        pong.close()
    for name, times in ours.items():
        bench.row(f"{name}, against a ping-pong", times, theirs, None, at_least=False)


def branches(bench: Bench) -> None:
    """fork() of a session that holds 100 MB, against os.fork() of a plain Python with as much, to the child's first answer."""
    code = "state = [bytes([n % 256]) * 4096 for n in range(25600)]"
    with Sandbox(Policy(timeout=60, memory="1G")) as sandbox:
        if sandbox.run_code(code).error is not None:
            return unmeasured(bench, "fork() of a session with 100 MB", "the state could not be made")
        ours, first, theirs = Times("sandbox.fork()"), Times("fork() and a first run"), Times("os.fork() and its first byte")
        plain = subprocess.Popen([PYTHON, "-I", "-c", PLAIN_FORK], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert plain.stdin is not None and plain.stdout is not None
        plain.stdout.readline()
        try:
            for _ in range(max(bench.rounds // 12, 7)):
                start = time.perf_counter()
                twin = sandbox.fork()
                ours.seconds.append(time.perf_counter() - start)
                if twin.run_code("len(state)").value != 25600:
                    raise RuntimeError("the branch has not the state")
                first.seconds.append(time.perf_counter() - start)
                twin.close()
                plain.stdin.write("\n")
                plain.stdin.flush()
                theirs.seconds.append(float(plain.stdout.readline()))
        except SandboxError as error:
            return unmeasured(bench, "fork() of a session with 100 MB", error)
        finally:
            plain.stdin.close()
            plain.wait()
    bench.row("fork() of a session with 100 MB", ours, theirs, None, at_least=False)
    bench.row("fork() and a first run, with 100 MB", first, theirs, None, at_least=False)
    return None


PLAIN_FORK = """
import os, sys, time
state = [bytes([n % 256]) * 4096 for n in range(25600)]
print("ready", flush=True)
for line in sys.stdin:
    reader, writer = os.pipe()
    begun = time.perf_counter()
    pid = os.fork()
    if pid == 0:
        os.write(writer, b"x")
        os._exit(0)
    os.read(reader, 1)
    took = time.perf_counter() - begun
    os.waitpid(pid, 0)
    os.close(reader)
    os.close(writer)
    print(took, flush=True)
"""


def loop(bench: Bench) -> None:
    """A thousand runs at a time on one event loop, against as many plain interpreters, eight at a time (more would thrash)."""
    count = 250 if bench.rounds < 100 else 1000

    async def ours() -> None:
        executions = await asyncio.gather(*(belljar.arun(f"{n} + 1", python=PYTHON) for n in range(count)))
        if [execution.text for execution in executions] != [str(n + 1) for n in range(count)]:
            raise RuntimeError("a run has the wrong result")

    async def theirs() -> None:
        gate = asyncio.Semaphore(8)

        async def one(n: int) -> None:
            async with gate:
                process = await asyncio.create_subprocess_exec(PYTHON, "-I", "-c", f"print({n} + 1)", stdout=subprocess.PIPE)
                await process.communicate()

        await asyncio.gather(*(one(n) for n in range(count // 5)))

    belljar.run("1", python=PYTHON)
    mine, plain = Times(f"{count} x arun"), Times("python3 -I -c")
    for _ in range(3):
        start = time.perf_counter()
        asyncio.run(ours())
        mine.seconds.append((time.perf_counter() - start) / count)
        start = time.perf_counter()
        asyncio.run(theirs())
        plain.seconds.append((time.perf_counter() - start) / (count // 5))
    bench.row(f"{count} concurrent runs on a loop, each", mine, plain, None, at_least=True)


def receive(pipe: multiprocessing.connection.Connection) -> None:
    while True:
        array = pipe.recv()
        if array is None:
            return
        pipe.send(float(array[-1]))


def arrays(bench: Bench) -> None:
    """An array in, until the guest has looked at it, against multiprocessing's pickle through a pipe: one that numpy made, which
    is copied once, and one of belljar.empty."""
    try:
        import numpy
    except ImportError as error:
        return unmeasured(bench, "an array in", error)
    free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    context = multiprocessing.get_context("fork")
    here, there = context.Pipe()
    for size_mb in (1, 16, 256, 1024):
        if free < size_mb * 6 << 20:
            unmeasured(bench, f"an array of {size_mb} MB in", f"only {free >> 20} MB of memory are free")
            continue
        plain = numpy.ones(size_mb << 17)
        shared = belljar.empty(size_mb << 17)
        shared[:] = 1
        child = context.Process(target=receive, args=(there,))
        child.start()
        ours = {"numpy's": (plain, Times("sandbox[...] = array")), "belljar.empty's": (shared, Times("sandbox[...] = array"))}
        theirs = Times("pickle through a pipe")
        with Sandbox(Policy(timeout=120), preload=["numpy"]) as sandbox:
            for _ in range(3 if size_mb > 100 else 15):
                for array, times in ours.values():
                    sandbox.run_code("a = None")  # to free another array is no part of it
                    start = time.perf_counter()
                    sandbox["a"] = array
                    times.seconds.append(time.perf_counter() - start)
                    if sandbox.run_code("float(a[-1])").value != 1.0:
                        raise RuntimeError("the array did not arrive")
                start = time.perf_counter()
                here.send(plain)
                here.recv()
                theirs.seconds.append(time.perf_counter() - start)
        for name, (_, times) in ours.items():
            target = 2000 if size_mb == 1024 and name != "numpy's" else None
            bench.row(f"{size_mb} MB in, {name}, against a pickle", times, theirs, target, at_least=True)
        here.send(None)
        child.join()
    return None


if __name__ == "__main__":
    sys.exit(main(__doc__, "sessions", {
        "run-code": run_code, "calls": calls, "fork": branches, "loop": loop, "arrays": arrays}))  # fmt: skip
