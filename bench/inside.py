"""What runs inside, against the same program outside: CPU kernels, files, an import, timers and threads."""

from __future__ import annotations

import json
import os
import pathlib
import statistics
import tempfile
from collections.abc import Callable

from frame import COMMAND, HERE, PYTHON, Bench, Section, Side, amount
from parts import environment, output_of

from belljar import Policy, Template


def kernel_rows(bench: Bench, name: str, inside: Callable[[], dict[str, float]], outside: Callable[[], dict[str, float]],
                rounds: int, target: float) -> None:  # fmt: skip
    """A row for each kernel and one for their geometric mean. `inside` and `outside` give the seconds of each. The figure is the ratio of the
    best times of all rounds: whatever else the machine does only adds to a kernel."""
    pairs = []
    for number in range(bench.count(rounds)):
        if number % 2 == 0:
            mine, theirs = inside(), outside()
        else:
            theirs, mine = outside(), inside()
        pairs.append((mine, theirs))
    best = [{kernel: min(of[kernel] for of in half) for kernel in pairs[0][0]} for half in zip(*pairs, strict=True)]
    ratios = {kernel: best[0][kernel] / best[1][kernel] for kernel in best[0]}
    means = [statistics.geometric_mean(mine[kernel] / theirs[kernel] for kernel in mine) for mine, theirs in pairs]
    bench.value(
        f"{name}, geometric mean", statistics.geometric_mean(ratios.values()), "x", of="in the jar", target=target, spread=means
    )
    for kernel, ratio in ratios.items():
        bench.value(f"{name}: {kernel}", ratio, "x", of="in the jar", spread=[mine[kernel] / theirs[kernel] for mine, theirs in pairs],
                    detail=f"{amount(best[0][kernel], 's')} against {amount(best[1][kernel], 's')} of python3 -I")  # fmt: skip


def kernels(bench: Bench) -> None:
    """Kernels that only compute (bench/kernels.py), in a guest and in a plain Python, the best time of all rounds. Neither the filter
    nor the limits take part in them."""
    code = (HERE / "kernels.py").read_text()
    with Template(Policy(timeout=60), preload=["numpy", "json", "re"]) as template:
        kernel_rows(bench, "CPU kernels", lambda: dict(json.loads(template.run(code).stdout)),
                    lambda: dict(json.loads(output_of(PYTHON, "-I", str(HERE / "kernels.py")))), 15, 1.01)  # fmt: skip


OPENS = """
import os, sys, time
path = sys.argv[1]
times = []
for _ in range(3000):
    start = time.perf_counter()
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    times.append(time.perf_counter() - start)
    os.close(fd)
times.sort()
print(times[len(times) // 2], times[len(times) * 99 // 100])
"""


def opens(bench: Bench) -> None:
    """One open of a granted file, which the supervisor does for the guest, against a native one: everybody on one CPU, where they meet
    anyway, and wherever the scheduler puts them. A round is the median of 3,000 opens."""
    path = str(HERE / "bench.py")
    pins: dict[str, list[str]] = {"one CPU": ["taskset", "-c", str(max(os.sched_getaffinity(0)))], "unpinned": []}
    for state, pin in pins.items():
        tails: list[float] = []

        def inside() -> float:
            p50, p99 = map(float, output_of(*pin, COMMAND, "run", "--read", str(HERE), "-c", OPENS, path).split())  # noqa: B023
            tails.append(p99)  # noqa: B023
            return p50

        ours = Side("in the jar", inside, turns=1)
        native = Side("a native open", lambda: float(output_of(*pin, PYTHON, "-I", "-c", OPENS, path).split()[0]), turns=1,  # noqa: B023
                      kind="floor")  # fmt: skip
        bench.alternate([ours, native], rounds=16, seconds=8)
        bench.row("a brokered open", ours, native, state=state, target=7 if pin else None,
                  detail=f"p99 within a program {statistics.median(tails) * 1e6:.1f} µs")  # fmt: skip


IMPORT = """
import time
start = time.perf_counter()
import pandas
print(time.perf_counter() - start)
"""


def imports(bench: Bench) -> None:
    """`import pandas` by a guest whose template has not imported it: the supervisor opens each file. With Debian's pandas, and with
    the newest one of PyPI in an environment."""
    pythons: dict[str, Callable[[], str]] = {
        "Debian's": lambda: PYTHON,
        "PyPI's": lambda: str(environment("pandas", ["pandas"], ["--only-binary", ":all:"]) / "python"),
    }
    for name, find in pythons.items():
        with bench.attempt(f"import pandas after the lockdown, {name}"):
            python = find()
            version = output_of(python, "-I", "-c", "import pandas; print(pandas.__version__)").strip()
            with Template(Policy(timeout=60), python=python) as template:

                def inside() -> float:
                    execution = template.run(IMPORT)  # noqa: B023
                    if execution.error is not None:
                        raise RuntimeError(execution.error.traceback)
                    return float(execution.stdout)

                ours = Side("in the jar", inside, turns=1)
                plain = Side(
                    "python3 -I", lambda: float(output_of(python, "-I", "-c", IMPORT)), turns=1, kind="baseline"
                )  # noqa: B023
                bench.alternate([ours, plain], rounds=40, seconds=45)
            bench.row(f"import pandas after the lockdown, {name}", ours, plain, target=1.1, detail=f"pandas {version}")


# What an ordinary program does with files, timers and threads: each prints its seconds. The folder is the first argument.
ORDINARY: list[tuple[str, float, str]] = [
    ("open, read and close 10,000 small files", 2, """
for path in paths:
    with open(path) as file:
        file.read()
"""),
    ("stat 10,000 small files", 2, """
for path in paths:
    os.stat(path)
"""),
    ("read 400 MB in order", 1.05, """
for _ in range(4):
    with open(folder + "/large", "rb", buffering=0) as file:
        while file.readinto(buffer):
            pass
"""),
    ("20,000 turns of asyncio", 1.1, """
async def turn():
    for _ in range(20_000):
        await asyncio.sleep(0)
asyncio.run(turn())
"""),
    ("2,000 timers of asyncio", 1.1, """
async def wait():
    await asyncio.gather(*(asyncio.sleep(0.001 * (n % 50)) for n in range(2000)))
asyncio.run(wait())
"""),
    ("500 threads, one after the other", 1.1, """
for _ in range(500):
    thread = threading.Thread(target=int)
    thread.start()
    thread.join()
"""),
]  # fmt: skip
ORDINARY_START = """
import asyncio, os, sys, threading, time
folder = sys.argv[1]
paths = [f"{folder}/{n % 100}/{n}.txt" for n in range(10_000)]
buffer = bytearray(1 << 20)
for path in paths[:200]:
    open(path).close()
start = time.perf_counter()
"""


def ordinary(bench: Bench) -> None:
    """Granted files, timers and threads, as whole programs see them: each program times itself, in the jar and outside."""
    with tempfile.TemporaryDirectory(prefix="belljar-bench-") as folder:
        os.chmod(folder, 0o755)
        for n in range(10_000):
            os.makedirs(f"{folder}/{n % 100}", exist_ok=True)
            pathlib.Path(f"{folder}/{n % 100}/{n}.txt").write_text("a line of text\n" * 10)
        with open(f"{folder}/large", "wb") as large:
            for _ in range(100):
                large.write(os.urandom(1 << 20))
        for name, target, code in ORDINARY:
            program = ORDINARY_START + code + "print(time.perf_counter() - start)"
            ours = Side(
                "in the jar", lambda: float(output_of(COMMAND, "run", "--read", folder, "-c", program, folder)), turns=1
            )  # noqa: B023
            plain = Side(
                "python3 -I", lambda: float(output_of(PYTHON, "-I", "-c", program, folder)), turns=1, kind="baseline"
            )  # noqa: B023
            bench.alternate([ours, plain], rounds=25, seconds=18)
            bench.row(name, ours, plain, target=target)


SECTIONS = [
    Section("kernels", "Computing", kernels),
    Section("open", "A brokered open", opens),
    Section("import", "An import after the lockdown", imports),
    Section("ordinary", "Files, timers and threads", ordinary),
]
