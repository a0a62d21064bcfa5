"""Benchmarks of CPython's own suite, pyperformance, in a guest and in a plain Python.

The files come from the package on PyPI when this runs; they need `pyperf`, which starts processes of its own: in its place stands
the small module below, which times the same functions where it is."""

from __future__ import annotations

import json
import pathlib
import statistics
import tempfile

from frame import PYTHON, Bench, Section, Side
from parts import environment, output_of

from belljar import Policy, Template

# folder of the suite -> what its command line is given. Those that need neither a package nor a file beside them (regex_compile fails in 1.14
# by itself: its own stub of re.sub takes no `count`).
BENCHMARKS: dict[str, list[str]] = {
    "chaos": [],
    "deltablue": [],
    "fannkuch": [],
    "float": [],
    "generators": [],
    "go": [],
    "json_dumps": [],
    "json_loads": [],
    "nbody": [],
    "nqueens": [],
    "pickle": ["--pure-python", "pickle"],
    "regex_v8": [],
    "richards": [],
    "scimark": ["sparse_mat_mult"],
    "spectral_norm": [],
}

QUICK = ("deltablue", "float", "json_dumps", "json_loads", "richards")

STAND_IN = """
import argparse, json, sys, time, types

SECONDS = {seconds}
BEST = {{}}

class Runner:
    def __init__(self, add_cmdline_args=None, **_):
        self.argparser = argparse.ArgumentParser()
        self.metadata = {{}}
        self.args = None

    def parse_args(self, args=None):
        self.args = self.argparser.parse_args({arguments!r})
        return self.args

    def bench_func(self, name, func, *args, inner_loops=1, **_):
        def timed(loops):
            start = time.perf_counter()
            for _ in range(loops):
                func(*args)
            return time.perf_counter() - start
        self.bench_time_func(name, timed)

    def bench_time_func(self, name, func, *args, **_):
        if self.args is None:
            self.parse_args()
        loops = 1
        while func(loops, *args) < 0.02:
            loops *= 2
        end, times = time.perf_counter() + SECONDS, []
        while len(times) < 2 or time.perf_counter() < end:
            times.append(func(loops, *args) / loops)
        BEST[name] = min(times)

sys.modules["pyperf"] = types.ModuleType("pyperf")
sys.modules["pyperf"].__dict__.update(Runner=Runner, perf_counter=time.perf_counter, python_implementation=lambda: "cpython",
                                      python_has_jit=lambda: False)
sys.argv[1:] = {arguments!r}
exec(compile({source!r}, "run_benchmark.py", "exec"), {{"__name__": "__main__", "__file__": "run_benchmark.py"}})
print(json.dumps(min(BEST.values())))
"""


def program_of(folder: pathlib.Path, name: str, seconds: float) -> str:
    source = (folder / f"bm_{name}" / "run_benchmark.py").read_text()
    return STAND_IN.format(seconds=seconds, arguments=BENCHMARKS[name], source=source)


def suite(bench: Bench) -> None:
    """Benchmarks of pyperformance, unchanged, in a fresh guest and in a plain Python, the best of several in each process. The geometric
    mean is of the ratios of the best times of all rounds. The same of a plain Python against another plain Python is the noise: what is
    within it says nothing."""
    title = "pyperformance, geometric mean"
    with bench.attempt(title):
        programs = environment("pyperformance", ["pyperformance"], ["--no-deps"])
        folder = next(programs.parent.glob("lib/python3*/site-packages/pyperformance/data-files/benchmarks"))
        means: dict[str, list[float]] = {"in the jar": [], "the noise": []}
        rounds: list[dict[str, list[float]]] = []
        with Template(Policy(timeout=60)) as template, tempfile.TemporaryDirectory(prefix="belljar-bench-") as place:
            for name in BENCHMARKS:
                if bench.quick and name not in QUICK:
                    bench.not_run(f"pyperformance: {name}", f"--quick takes {len(QUICK)} of them", theirs="python3 -I")
                    continue
                program = program_of(folder, name, 0.08)
                file = pathlib.Path(place) / f"{name}.py"
                file.write_text(program)

                def inside() -> float:
                    execution = template.run(program)  # noqa: B023
                    if execution.error is not None:
                        raise RuntimeError(execution.error.traceback.strip().splitlines()[-1])
                    return float(json.loads(execution.stdout))

                def outside() -> float:
                    return float(json.loads(output_of(PYTHON, "-I", str(file))))  # noqa: B023

                ours = Side("in the jar", inside, turns=1)
                plain = Side("python3 -I", outside, turns=1, kind="baseline")
                again = Side("python3 -I, again", outside, turns=1, kind="baseline")
                bench.alternate([ours, plain, again], rounds=5, seconds=6)
                bench.row(f"pyperformance: {name}", ours, plain)
                if ours.all and plain.all and again.all:
                    best = min(plain.all)
                    means["in the jar"].append(min(ours.all) / best)
                    means["the noise"].append(min(again.all) / best)
                    rounds.append({"in the jar": _ratios(ours, plain), "the noise": _ratios(again, plain)})
        for of, target, row in (
            ("in the jar", 1.01, title),
            ("the noise", None, "pyperformance, the noise: python3 -I against itself"),
        ):
            spread = [statistics.geometric_mean(some) for some in zip(*(one[of] for one in rounds), strict=False)]
            bench.value(row, statistics.geometric_mean(means[of]), "x", of=of, target=target, spread=spread,
                        detail=f"{len(means[of])} benchmarks")  # fmt: skip


def _ratios(side: Side, other: Side) -> list[float]:
    """Round by round."""
    return [a[0] / b[0] for a, b in zip(side.rounds, other.rounds, strict=True) if a and b]


SECTIONS = [Section("pyperformance", "CPython's own benchmarks", suite)]

if __name__ == "__main__":
    from frame import run_alone

    run_alone(SECTIONS)
