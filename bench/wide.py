"""Copies of a session by what it holds, and arrays in and out against pickle and Arrow."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator

from frame import ENVIRONMENT, PYTHON, Bench, Section, Side, Unavailable, reason_of
from parts import FORKER, STATE, environment

from belljar import Policy, Sandbox
from belljar.errors import GuestError

# ---- Copies by state --------------------------------------------------------------------------------------------


class Program(contextlib.AbstractContextManager["Program"]):
    """A plain Python that does a thing for each line that it gets, and prints its seconds."""

    def __init__(self, code: str, python: str = PYTHON, arguments: tuple[str, ...] = ()) -> None:
        self.process = subprocess.Popen([python, "-I", "-c", code, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        text=True, env=ENVIRONMENT)  # fmt: skip
        assert self.process.stdin is not None and self.process.stdout is not None
        self.asking, self.answers = self.process.stdin, self.process.stdout
        if self.answers.readline() != "ready\n":
            raise RuntimeError("the program ended before it was ready")

    def ask(self, what: str = "") -> float:
        self.asking.write(what + "\n")
        self.asking.flush()
        return float(self.answers.readline())

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(BrokenPipeError):
            self.asking.close()
        self.process.wait()
        self.answers.close()


def copies_by_state(bench: Bench) -> None:
    """`fork()` of a session that holds so many MB in 4 kB pieces, with the copy's first run, against `os.fork()` of a plain Python that holds
    as much, to the first byte of its child. What was taken from memory before costs page tables in both."""
    for size_mb in (0, 10, 400):
        title = f"a copy of a session with {size_mb} MB, and its first run"
        state = STATE.format(pages=size_mb * 256)
        with bench.attempt(title), Sandbox(Policy(timeout=60, memory="2G")) as sandbox, Program(
            FORKER.format(state=state)
        ) as plain:
            if (execution := sandbox.run_code(state)).error is not None:
                raise RuntimeError(execution.error.traceback)
            copied: list[Sandbox] = []

            def clear() -> None:
                while copied:  # noqa: B023
                    copied.pop().close()  # noqa: B023

            def copy_and_run() -> None:
                copied.append(sandbox.fork())  # noqa: B023
                if copied[-1].run_code("len(state)").value != size_mb * 256:  # noqa: B023
                    raise RuntimeError("the copy has not the state")

            ours = Side("Sandbox.fork() and run_code", copy_and_run, clear, turns=2)
            floor = Side("os.fork() and its first byte", plain.ask, turns=2, kind="floor")
            bench.alternate([ours, floor], rounds=12, seconds=6)
            clear()
            bench.row(title, ours, floor, at=size_mb, series="fork() and a run")


# ---- Arrays -----------------------------------------------------------------------------------------------------

ARROW = """
import os, sys, time
import numpy, pyarrow
there, back = os.pipe(), os.pipe()
if os.fork() == 0:
    os.close(there[1]), os.close(back[0])
    source = os.fdopen(there[0], "rb", 1 << 16)
    while source.peek(1):
        with pyarrow.ipc.open_stream(source) as stream:
            column = stream.read_next_batch().column(0).to_numpy()
            for _ in stream:
                pass
        os.write(back[1], bytes([int(column[-1])]))
    os._exit(0)
os.close(there[0]), os.close(back[1])
array = numpy.ones(int(sys.argv[1]) << 17)
sink = os.fdopen(there[1], "wb", 1 << 16)
print("ready", flush=True)
for line in sys.stdin:
    begun = time.perf_counter()
    batch = pyarrow.record_batch([pyarrow.array(array)], names=["a"])
    with pyarrow.ipc.new_stream(sink, batch.schema) as stream:
        stream.write_batch(batch)
    sink.flush()
    assert os.read(back[0], 1) == bytes([1])
    print(time.perf_counter() - begun, flush=True)
"""

PICKLE = """
import multiprocessing, sys, time
import numpy
here, there = multiprocessing.Pipe()
context = multiprocessing.get_context("fork")
def work():
    array = numpy.ones(int(sys.argv[1]) << 17)
    while there.recv():
        there.send(array)
child = context.Process(target=work, daemon=True)
child.start()
print("ready", flush=True)
for line in sys.stdin:
    begun = time.perf_counter()
    here.send(1)
    assert here.recv()[-1] == 1.0
    print(time.perf_counter() - begun, flush=True)
"""


@contextlib.contextmanager
def arrow(size_mb: int) -> Iterator[Program | Unavailable]:
    """The program above in an environment of its own, or why there is none."""
    try:
        python = str(environment("arrow", ["pyarrow", "numpy"], ["--only-binary", ":all:"]) / "python")
        program = Program(ARROW, python, (str(size_mb),))
    except (Unavailable, RuntimeError) as error:
        yield error if isinstance(error, Unavailable) else Unavailable(f"pyarrow: {error}")
        return
    with program:
        yield program


def both_ways(bench: Bench) -> None:
    """An array of numpy's in, until the guest has looked at it, against Arrow's IPC stream through a pipe to another Python; and one that the
    guest made out to the host, as the value of a run, against multiprocessing's pickle through a pipe. (Arrays in against pickle are in
    the table of arrays in.)"""
    import numpy

    for size_mb in (1, 32, 64, 512):
        if bench.quick and size_mb > 100:
            bench.not_run(f"{size_mb} MB in, and out", "--quick takes the smaller ones")
            continue
        free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        if free < size_mb * 8 << 20:
            bench.not_run(f"{size_mb} MB in, Arrow", f"only {free >> 20} MB of memory are free")
            continue
        name = f"{size_mb} MB"
        with bench.attempt(name), Sandbox(Policy(timeout=120, memory="4G"), preload=["numpy"]) as sandbox, arrow(
            size_mb
        ) as stream, Program(PICKLE, arguments=(str(size_mb),)) as pickled:
            array = numpy.ones(size_mb << 17)
            made = sandbox.run_code(f"import numpy\nmine = numpy.ones({size_mb} << 17)\nNone")
            if made.error is not None:
                raise RuntimeError(made.error.traceback)

            def clear() -> None:
                sandbox.run_code("a = None")  # noqa: B023

            def give() -> None:
                sandbox["a"] = array  # noqa: B023
                if sandbox.run_code("float(a[-1])").value != 1.0:  # noqa: B023
                    raise RuntimeError("the array did not arrive")

            def take() -> None:
                if sandbox["mine"][-1] != 1.0:  # noqa: B023
                    raise RuntimeError("the array did not arrive")

            turns, rounds = (1, 4) if size_mb > 100 else (3, 10)
            ours, out = Side("sandbox[...] = array", give, clear, turns), Side("sandbox[...]", take, turns=turns)
            ipc = Side("Arrow IPC through a pipe", turns=turns)
            if isinstance(stream, Program):
                ipc.do = stream.ask
            else:
                ipc.reason = str(stream)
            pipe = Side("a pickle through a pipe", pickled.ask, turns=turns, kind="baseline")
            try:
                take()
            except GuestError as error:  # what one value may have (docs/values.md)
                out.reason = reason_of(error)
            bench.alternate([ours, ipc] if out.reason else [ours, out, ipc, pipe], rounds=rounds, seconds=6)
            bench.row(f"{name} in", ours, ipc, at_least=True, at=size_mb, series="in, Arrow")
            bench.row(f"{name} out", out, pipe, at_least=True, at=size_mb, series="out, pickle")


SECTIONS = [
    Section("copies-by-state", "Copies of a session, by what it holds", copies_by_state),
    Section("arrays-out", "Arrays out, and Arrow", both_ways),
]

if __name__ == "__main__":
    from frame import run_alone

    run_alone(SECTIONS)
