"""A run beside many others: with more live guests, with more templates, in a burst, opening files all at once."""

from __future__ import annotations

import asyncio
import contextlib
import os
import selectors
import statistics
import subprocess
import threading
import time
from collections.abc import Callable, Iterator

from density import crowd, room_for
from frame import ENVIRONMENT, HERE, PYTHON, Bench, Section, Side, Unavailable
from parts import expect

import belljar
from belljar import Policy, Template

Opening = Callable[[], contextlib.AbstractContextManager[Callable[[], object]]]


def blocks(bench: Bench, sides: list[tuple[Side, Opening]], rounds: int) -> None:
    """Rounds in which each side is opened, has its turns, and is closed: for what cannot be alive beside the others."""
    for number in range(1 if bench.quick else rounds):  # to open them takes longer than their turns
        for side, opening in sides if number % 2 == 0 else sides[::-1]:
            with opening() as do:
                side.do = do
                for _ in range(3):
                    side.turn()
                side.rounds.append([side.turn() for _ in range(side.turns)])


def pause() -> None:
    time.sleep(0.008)


CASES: list[tuple[str, tuple[str, ...], str, str, float]] = [
    ("1+1", (), "1+1", "2", 1.7),
    ("numpy", ("numpy",), "import numpy; numpy.arange(10).sum()", "45", 3.4),
]


def crowded(bench: Bench) -> None:
    """A run in a fresh guest while 4, 40 or 400 of them are parked, of one template: the pool takes the one that is ready longest, and
    forks another. The host sleeps 8 ms between two runs."""
    for name, preload, code, text, mb in CASES:
        with bench.attempt(f"{name}, many live guests"):
            room_for(400, mb)

            @contextlib.contextmanager
            def opening(count: int) -> Iterator[Callable[[], object]]:
                with crowd(count, None, preload) as template:  # noqa: B023
                    yield lambda: expect(template, code, text)  # noqa: B023

            sides = {count: Side(f"{count} live guests", before=pause, turns=30, kind="baseline") for count in (4, 40, 400)}
            blocks(bench, [(side, lambda count=count: opening(count)) for count, side in sides.items()], 4)  # type: ignore[misc]
            for count in (40, 400):
                bench.row(f"{name}, {count} live guests", sides[count], sides[4], state="host sleeping 8 ms", at=count, series=name,
                          target=1.2 if count == 400 and preload else None)  # fmt: skip


def templates(bench: Bench) -> None:
    """A run in a fresh guest where the process has one template, and where it has 30 and they take turns, each with a guest parked."""

    @contextlib.contextmanager
    def opening(count: int) -> Iterator[Callable[[], object]]:
        with contextlib.ExitStack() as stack:
            every = [stack.enter_context(Template(Policy())) for _ in range(count)]
            for template in every:
                expect(template, "1+1", "2")
            turn = iter(range(1_000_000))
            yield lambda: expect(every[next(turn) % count], "1+1", "2")

    one, many = (Side(name, before=pause, turns=30, kind="baseline") for name in ("one template", "30 templates"))
    blocks(bench, [(one, lambda: opening(1)), (many, lambda: opening(30))], 4)
    bench.row("1+1, 30 templates in turn", many, one, state="host sleeping 8 ms")


BURST = 100


def burst(bench: Bench) -> None:
    """100 runs asked for at once on an event loop, each in a fresh guest, against 100 plain interpreters started at once: the time to the
    first answer, to the median, to the last. With 4 guests parked, and with 100."""
    points = {"first": 0, "median": BURST // 2, "last": BURST - 1}

    async def gathered(template: Template) -> list[float]:
        start = time.perf_counter()

        async def one() -> float:
            if (await belljar.arun("1+1", template=template)).text != "2":
                raise RuntimeError("a run has the wrong result")
            return time.perf_counter() - start

        return sorted(await asyncio.gather(*(one() for _ in range(BURST))))

    def interpreters() -> list[float]:
        start, times = time.perf_counter(), []
        with selectors.DefaultSelector() as selector:

            def look(timeout: float | None) -> None:
                for key, _ in selector.select(timeout):
                    os.read(key.fd, 64)
                    times.append(time.perf_counter() - start)
                    selector.unregister(key.fd)
                    os.close(key.fd)
                    os.waitpid(key.data, 0)

            for _ in range(BURST):
                reader, writer = os.pipe()
                actions = [(os.POSIX_SPAWN_DUP2, writer, 1)]
                pid = os.posix_spawn(PYTHON, [PYTHON, "-I", "-c", "print(1+1)"], ENVIRONMENT, file_actions=actions)
                os.close(writer)
                selector.register(reader, selectors.EVENT_READ, pid)
                look(0)
            while selector.get_map():
                look(None)
        return sorted(times)

    for parked in (4, 100):
        with bench.attempt(f"{BURST} runs at once, {parked} parked"), Template(Policy(), parked=parked) as template:
            ours = {point: Side("belljar.arun", kind="baseline") for point in points}
            theirs = {point: Side("python3 -I -c", kind="baseline") for point in points}
            for number in range(max(bench.count(8), 2)):
                for mine in (True, False) if number % 2 == 0 else (False, True):
                    time.sleep(0.6 if mine else 0)  # the pool is full again
                    times = asyncio.run(gathered(template)) if mine else interpreters()
                    for point, at in points.items():
                        (ours if mine else theirs)[point].rounds.append([times[at]])
            for point in points:
                bench.row(f"{BURST} runs at once, {parked} parked, {point}", ours[point], theirs[point], at_least=True)


OPENS = """
import os, time
begin, end = {begin}, {end}
time.sleep(max(begin - time.monotonic(), 0))
count = 0
while time.monotonic() < end:
    os.close(os.open({path!r}, os.O_RDONLY | os.O_CLOEXEC))
    count += 1
print(count)
"""


def opening(bench: Bench) -> None:
    """Guests of one template that open a granted file, as fast as they can, all at once: opens a second of all together. One supervisor
    does them all. Fairness is the slowest guest's share of the fastest one's."""
    path = str(HERE / "frame.py")
    seconds = 0.4
    with Template(Policy(read=[str(HERE)], timeout=60), parked=10) as template:

        def inside(count: int) -> list[int]:
            begin = time.monotonic() + 0.1
            code = OPENS.format(begin=begin, end=begin + seconds, path=path)
            counts: list[int] = []

            def work() -> None:
                execution = template.run(code)
                if execution.error is None:
                    counts.append(int(execution.stdout))

            threads = [threading.Thread(target=work) for _ in range(count)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            if len(counts) < count:
                raise RuntimeError(f"only {len(counts)} of {count} guests answered")
            time.sleep(0.1)  # their successors are forked
            return counts

        shares: list[list[float]] = [[], []]

        def ten() -> float:
            counts = inside(10)
            shares[0].append(min(counts) / max(counts))
            return sum(counts) / seconds

        def plain(count: int) -> float:
            begin = time.monotonic() + 0.25
            command = [PYTHON, "-I", "-c", OPENS.format(begin=begin, end=begin + seconds, path=path)]
            programs = [subprocess.Popen(command, stdout=subprocess.PIPE, env=ENVIRONMENT) for _ in range(count)]
            counts = [int(program.communicate()[0]) for program in programs]
            if count > 1:
                shares[1].append(min(counts) / max(counts))
            return sum(counts) / seconds

        if inside(1)[0] == 0:
            raise Unavailable("a guest could not open a file")
        ours, one = Side("ten guests", ten, turns=1, unit="/s"), Side("one guest", lambda: inside(1)[0] / seconds, turns=1, unit="/s",
                                                                      kind="baseline")  # fmt: skip
        native = Side("ten plain Pythons", lambda: plain(10), turns=1, unit="/s", kind="floor")
        native_one = Side("one plain Python", lambda: plain(1), turns=1, unit="/s", kind="floor")
        bench.alternate([ours, one, native, native_one], rounds=6, seconds=15)
    bench.row("opens a second, ten guests at once", ours, one, at_least=True)
    bench.row("opens a second, ten guests at once", ours, native, at_least=True)
    bench.row("opens a second, one guest", one, native_one, at_least=True)
    for name, share in zip(("ten guests", "ten plain Pythons"), shares, strict=True):
        bench.value(f"fairness of opens, {name}: slowest to fastest", statistics.median(share), "x", of=name, spread=share)


SECTIONS = [
    Section("live", "A run beside many live guests", crowded),
    Section("templates", "A run beside many templates", templates),
    Section("burst", "A burst of runs", burst),
    Section("opens", "Ten guests opening files", opening),
]

if __name__ == "__main__":
    from frame import run_alone

    run_alone(SECTIONS)
