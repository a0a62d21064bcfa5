"""What the sandbox costs. Run by `make bench`; `--only WORD` runs the benchmarks whose name has it, `--quick` fewer rounds.

Every figure is a ratio to something that was run in the same rounds, alternating, because the machine's speed drifts: medians, with
the 99th percentile beside them. Writes bench/results/bench.json and bench.png and prints the table."""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import pathlib
import platform
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable

import belljar
from belljar import Policy, Template

HERE = pathlib.Path(__file__).resolve().parent
PYTHON = "/usr/bin/python3"
COMMAND = os.environ.get("BELLJAR_COMMAND", str(HERE.parent / ".venv/bin/belljar"))
SILENT = [(os.POSIX_SPAWN_OPEN, fd, "/dev/null", flags, 0) for fd, flags in ((0, os.O_RDONLY), (1, os.O_WRONLY))]
# A pool of threads would make of an array kernel a measurement of the scheduler; the jar has one as well.
ENVIRONMENT = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}


@dataclasses.dataclass
class Times:
    """Seconds, one a round."""

    name: str
    seconds: list[float] = dataclasses.field(default_factory=list)

    @property
    def p50(self) -> float:
        return statistics.median(self.seconds)

    @property
    def p99(self) -> float:
        ordered = sorted(self.seconds)
        return ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))]


@dataclasses.dataclass
class Row:
    """One claim: how `ours` compares with `theirs`, and what it should be at least (faster) or at most (cost)."""

    name: str
    ours: str
    theirs: str
    ratio: float
    target: float | None  # None: nothing was promised, the figure is for the reader
    at_least: bool
    detail: str

    @property
    def holds(self) -> bool:
        if self.target is None:
            return True
        return self.ratio >= self.target if self.at_least else self.ratio <= self.target


@dataclasses.dataclass
class Bench:
    rounds: int
    rows: list[Row] = dataclasses.field(default_factory=list)
    times: dict[str, dict[str, float]] = dataclasses.field(default_factory=dict)

    def note(self, title: str, *many: Times) -> None:
        for times in many:
            self.times[f"{title}: {times.name}"] = {
                "p50_us": times.p50 * 1e6, "p99_us": times.p99 * 1e6, "n": len(times.seconds)}  # fmt: skip

    def row(self, name: str, ours: Times, theirs: Times, target: float | None, at_least: bool) -> None:
        """at_least: how many times faster ours is; else: how many times longer it takes."""
        ratio = theirs.p50 / ours.p50 if at_least else ours.p50 / theirs.p50
        detail = f"{show(ours)} against {show(theirs)}"
        self.rows.append(Row(name, ours.name, theirs.name, ratio, target, at_least, detail))
        self.note(name, ours, theirs)
        print(line(self.rows[-1]), flush=True)

    def number(self, name: str, ours: str, theirs: str, ratio: float, target: float | None, at_least: bool, detail: str) -> None:
        self.rows.append(Row(name, ours, theirs, ratio, target, at_least, detail))
        print(line(self.rows[-1]), flush=True)


def show(times: Times) -> str:
    unit, scale = ("ms", 1e3) if times.p50 >= 0.01 else ("us", 1e6) if times.p50 >= 1e-6 else ("ns", 1e9)
    return f"{times.p50 * scale:.1f} {unit} (p99 {times.p99 * scale:.1f})"


def line(row: Row) -> str:
    goal = "" if row.target is None else f"{'>=' if row.at_least else '<='} {row.target:g}"
    word = "" if row.target is None else "ok" if row.holds else "MISSED"
    return f"{row.name:46} {row.ratio:8.2f}x  {goal:8} {word:7} {row.detail}"


# ---- What is compared -------------------------------------------------------------------------------------


def spawn(*command: str) -> None:
    """Runs a program to its end, with as little of ours around it as there can be."""
    pid = os.posix_spawn(command[0], command, ENVIRONMENT, file_actions=SILENT)
    _, status = os.waitpid(pid, 0)
    if status:
        raise RuntimeError(f"{command} ended with wait status {status}")


class PlainFork:
    """A parked, warmed child of a plain Python with the same modules: no lockdown, no limits, no streams."""

    def __init__(self, modules: list[str]) -> None:
        self.control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.process = subprocess.Popen([PYTHON, "-I", str(HERE / "plain_fork.py"), "park", ",".join(modules)],
                                        stdin=theirs.fileno(), env=ENVIRONMENT)  # fmt: skip
        theirs.close()

    def park(self) -> None:
        self.control.send(b"+")
        _, fds, _, _ = socket.recv_fds(self.control, 16, 1)
        self.child = socket.socket(fileno=fds[0])
        self.child.recv(1)

    def run(self, code: bytes) -> bytes:
        self.child.sendall(code)
        return self.child.recv(65536)

    def close(self) -> None:
        self.control.close()
        self.process.wait()


def timed(times: Times, do: Callable[[], object]) -> None:
    start = time.perf_counter()
    do()
    times.seconds.append(time.perf_counter() - start)


def expect(template: Template, code: str, text: str) -> None:
    execution = template.run(code)
    if execution.text != text:
        raise RuntimeError(f"{code!r} gave {execution.text!r} ({execution.verdict}): {execution.error}")


def modules_of(template: Template) -> list[str]:
    """What the zygote has imported, so that its peers can import the same."""
    execution = template.run("import sys; print(','.join(sorted(sys.modules)))")
    return [name for name in execution.stdout.strip().split(",") if not name.startswith(("belljar", "_belljar"))]


TURNS = 12  # of one figure before the next has its turn


# ---- The benchmarks ---------------------------------------------------------------------------------------


def busy(seconds: float) -> None:
    """A pause in which the CPU stays awake, as on a server with work: after a sleep everything is slower, ours and theirs."""
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        pass


def warm(bench: Bench) -> None:
    """A parked guest answers. Its successor is forked meanwhile, so both pools get a pause to fill again. A few of each in
    turn: a figure after every other's start of an interpreter would be one of cold caches."""
    cases: list[tuple[str, list[str], str, bytes, str, float]] = [
        ("1+1, parked", [], "1+1", b"1+1", "2", 50),
        ("numpy preloaded, parked", ["numpy"], "import numpy; numpy.arange(10).sum()",
         b"__import__('numpy').arange(10).sum()", "45", 150),
    ]  # fmt: skip
    for title, preload, code, message, text, target in cases:
        with Template(Policy(), preload=preload, parked=2) as template:
            peer = PlainFork(modules_of(template))
            ours, cold, parked = Times("template.run"), Times("python3 -I -c"), Times("a parked plain fork")
            idle, parked_idle = Times("template.run"), Times("a parked plain fork")
            for _ in range(bench.rounds // TURNS):
                for _ in range(TURNS):
                    busy(0.008)
                    timed(ours, lambda: expect(template, code, text))
                for _ in range(TURNS):
                    peer.park()
                    busy(0.008)
                    timed(parked, lambda: peer.run(message))
                for _ in range(TURNS // 3):
                    timed(cold, lambda: spawn(PYTHON, "-I", "-c", code))
            for _ in range(bench.rounds // 4):
                peer.park()
                time.sleep(0.03)
                timed(idle, lambda: expect(template, code, text))
                time.sleep(0.03)
                timed(parked_idle, lambda: peer.run(message))
            peer.close()
        bench.row(f"{title}, against python3 -I -c", ours, cold, target, at_least=True)
        bench.row(f"{title}, against a plain fork", ours, parked, 2.5, at_least=False)
        bench.row(f"{title}, both after 30 ms idle", idle, parked_idle, None, at_least=False)


def empty_pool(bench: Bench) -> None:
    """The one parked guest is taken away first, so that the run has to wait for a fork."""
    with Template(Policy(), parked=1) as template:
        ours, cold = Times("template.run"), Times("python3 -I -c")
        for turn in range(bench.rounds):
            busy(0.015)
            taken = template.sandbox()
            timed(ours, lambda: expect(template, "1+1", "2"))
            taken.close()
            if turn % 4 == 0:
                timed(cold, lambda: spawn(PYTHON, "-I", "-c", "1+1"))
    bench.row("1+1, empty pool, against python3 -I -c", ours, cold, 8, at_least=True)


def cold_start(bench: Bench) -> None:
    ours, cold = Times("belljar run -c pass"), Times("python3 -I -c pass")
    for _ in range(max(bench.rounds // 6, 10)):
        timed(ours, lambda: spawn(COMMAND, "run", "-c", "pass"))
        timed(cold, lambda: spawn(PYTHON, "-I", "-c", "pass"))
    bench.row("belljar run -c pass, cold", ours, cold, 2, at_least=False)


def throughput(bench: Bench) -> None:
    """Fresh guests a second on all cores, against as many bare loops of fork, run, reap as there are cores."""
    cores = len(os.sched_getaffinity(0))
    seconds = 2.0
    rates: list[tuple[float, float]] = []
    with Template(Policy(), parked=8) as template:
        modules = ",".join(modules_of(template))

        def ours() -> float:
            counts = [0] * (2 * cores)
            end = time.monotonic() + seconds

            def work(at: int) -> None:
                while time.monotonic() < end:
                    expect(template, "1+1", "2")
                    counts[at] += 1

            threads = [threading.Thread(target=work, args=(at,)) for at in range(len(counts))]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            return sum(counts) / seconds

        def bare() -> float:
            command = [PYTHON, "-I", str(HERE / "plain_fork.py"), "loop", modules, str(seconds)]
            loops = [subprocess.Popen(command, stdout=subprocess.PIPE, env=ENVIRONMENT) for _ in range(cores)]
            return sum(int(loop.communicate()[0]) for loop in loops) / seconds

        for _ in range(3 if bench.rounds < 100 else 5):
            rates.append((ours(), bare()))
    ratio = statistics.median(mine / theirs for mine, theirs in rates)
    mine, theirs = (statistics.median(rate[at] for rate in rates) for at in (0, 1))
    bench.times["throughput"] = {"ours_per_s": mine, "bare_per_s": theirs, "cores": cores, "n": len(rates)}
    bench.number("fresh guests a second, all cores", "template.run", "bare fork, run, reap", ratio, 0.5, True,
                 f"{mine:.0f}/s against {theirs:.0f}/s")  # fmt: skip


def kernels(bench: Bench) -> None:
    code = (HERE / "kernels.py").read_text()
    best: dict[str, list[tuple[float, float]]] = {}
    with Template(Policy(timeout=60), preload=["numpy", "json", "re"]) as template:
        for _ in range(5 if bench.rounds < 100 else 9):
            inside = json.loads(template.run(code).stdout)
            done = subprocess.run([PYTHON, "-I", str(HERE / "kernels.py")], stdout=subprocess.PIPE, check=True,
                                  env=ENVIRONMENT)  # fmt: skip
            outside = json.loads(done.stdout)
            for name in inside:
                best.setdefault(name, []).append((inside[name], outside[name]))
    ratios = {name: statistics.median(mine / theirs for mine, theirs in pairs) for name, pairs in best.items()}
    for name, ratio in ratios.items():
        bench.times[f"kernel {name}"] = {"ratio": ratio}
    bench.number("CPU kernels, geometric mean", "in the jar", "python3 -I", statistics.geometric_mean(ratios.values()),
                 1.05, False, "  ".join(f"{name} {ratio:.2f}" for name, ratio in ratios.items()))  # fmt: skip


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


def brokered_open(bench: Bench) -> None:
    """One open of a granted file, everybody on one CPU (where they meet anyway) and wherever the scheduler puts them."""
    path = HERE / "bench.py"
    cpu = str(max(os.sched_getaffinity(0)))
    settings: list[tuple[str, list[str], float | None]] = [
        ("one CPU", ["taskset", "-c", cpu], 10), ("unpinned", [], None)]  # fmt: skip
    for title, pin, target in settings:
        ours, native = Times("brokered"), Times("native")
        tails: list[float] = []
        for _ in range(5):
            for times, command in (
                (ours, [COMMAND, "run", "--read", str(HERE), "-c", OPENS, str(path)]),
                (native, [PYTHON, "-I", "-c", OPENS, str(path)]),
            ):
                done = subprocess.run([*pin, *command], stdout=subprocess.PIPE, check=True, env=ENVIRONMENT)
                p50, p99 = map(float, done.stdout.split())
                times.seconds.append(p50)
                if times is ours:
                    tails.append(p99)
        ratio = ours.p50 / native.p50
        bench.note(f"open, {title}", ours, native)
        bench.number(f"one brokered open, {title}", "in the jar", "native", ratio, target, False,
                     f"{ours.p50 * 1e6:.1f} us (p99 {statistics.median(tails) * 1e6:.1f}) against {native.p50 * 1e6:.1f} us")  # fmt: skip


IMPORT = """
import time
start = time.perf_counter()
import pandas
print(time.perf_counter() - start)
"""


def imports(bench: Bench) -> None:
    """`import pandas` by a guest of a zygote that has not imported it: each file is opened by the supervisor."""
    ours, plain = Times("in the jar"), Times("python3 -I")
    with Template(Policy(timeout=60)) as template:
        for _ in range(max(bench.rounds // 12, 7)):
            ours.seconds.append(float(template.run(IMPORT).stdout))
            done = subprocess.run([PYTHON, "-I", "-c", IMPORT], stdout=subprocess.PIPE, check=True, env=ENVIRONMENT)
            plain.seconds.append(float(done.stdout))
    bench.row("import pandas after the lockdown", ours, plain, 1.15, at_least=False)


# What an ordinary program does with files, timers and threads: each prints its seconds. The folder is the first argument.
ORDINARY: list[tuple[str, float, str]] = [
    ("open and read 10,000 small files", 2, """
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
    """Granted files, timers and threads, as whole programs see them."""
    with tempfile.TemporaryDirectory(prefix="belljar-bench-") as folder:
        os.chmod(folder, 0o755)
        for n in range(10_000):
            os.makedirs(f"{folder}/{n % 100}", exist_ok=True)
            pathlib.Path(f"{folder}/{n % 100}/{n}.txt").write_text("a line of text\n" * 10)
        with open(f"{folder}/large", "wb") as large:
            for _ in range(100):
                large.write(os.urandom(1 << 20))
        for name, target, code in ORDINARY:
            ours, plain = Times("in the jar"), Times("python3 -I")
            program = ORDINARY_START + code + "print(time.perf_counter() - start)"
            for _ in range(max(bench.rounds // 20, 7)):
                for times, command in (
                    (ours, [COMMAND, "run", "--read", folder, "-c", program, folder]),
                    (plain, [PYTHON, "-I", "-c", program, folder]),
                ):
                    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, env=ENVIRONMENT)
                    times.seconds.append(float(done.stdout))
            bench.row(name, ours, plain, target, at_least=False)


# ---- What comes out ---------------------------------------------------------------------------------------


def plot(bench: Bench, path: pathlib.Path) -> None:
    """One bar a row: how far on the right side of its target it is, so that rows of both kinds share an axis; where nothing was
    promised, how far on the right side of its peer."""
    import matplotlib  # type: ignore[import]

    matplotlib.use("Agg")
    from matplotlib import pyplot

    rows = [row for row in bench.rows[::-1] if row.ratio == row.ratio]  # those that were measured
    margins = [row.ratio / (row.target or 1) if row.at_least else (row.target or 1) / row.ratio for row in rows]
    colours = ["#8d99ae" if row.target is None else "#4c956c" if row.holds else "#c8553d" for row in rows]
    figure, axes = pyplot.subplots(figsize=(10, 0.42 * len(rows) + 1.4), layout="constrained")
    axes.barh([row.name for row in rows], margins, color=colours)
    axes.axvline(1, color="black", linewidth=1)
    axes.set_xscale("log")
    axes.set_xlabel("margin to the target (grey: no target, to the peer); 1: just as good; to the right: better")
    for at, row in enumerate(rows):
        axes.text(margins[at], at, f" {row.ratio:.2f}x", va="center", fontsize=8)
    figure.savefig(path, dpi=110)


def main(about: str | None, title: str, benchmarks: dict[str, Callable[[Bench], None]]) -> int:
    """The programs of this folder: arguments, table, bench/results/TITLE.json and TITLE.png."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", metavar="WORD", help="one of: " + ", ".join(benchmarks))
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--strict", action="store_true", help="exit with 1 where a target is missed")
    arguments = parser.parse_args()

    bench = Bench(rounds=60 if arguments.quick else 240)
    print(f"belljar {belljar.__version__}, {platform.python_implementation()} {platform.python_version()}, "
          f"Linux {platform.release()}, {len(os.sched_getaffinity(0))} CPUs\n")  # fmt: skip
    for name, run in benchmarks.items():
        if arguments.only in name:
            run(bench)

    results = HERE / "results"
    results.mkdir(exist_ok=True)
    record = {
        "kernel": platform.release(), "cpus": len(os.sched_getaffinity(0)), "python": platform.python_version(),
        "rows": [{**dataclasses.asdict(row), "holds": row.holds} for row in bench.rows], "times": bench.times}  # fmt: skip
    (results / f"{title}.json").write_text(json.dumps(record, indent=1) + "\n")
    plot(bench, results / f"{title}.png")
    missed = sum(not row.holds for row in bench.rows)
    aimed = sum(row.target is not None for row in bench.rows)
    print(f"\n{aimed - missed} of {aimed} targets met; bench/results/{title}.json, {title}.png")
    return 1 if missed and arguments.strict else 0


if __name__ == "__main__":
    sys.exit(main(__doc__, "bench", {
        "warm": warm, "empty-pool": empty_pool, "cold": cold_start, "throughput": throughput, "kernels": kernels,
        "open": brokered_open, "import": imports, "ordinary": ordinary}))  # fmt: skip
