"""What the deny-by-default language policy costs: CPU kernels under it, in the jar, against plain CPython; a parked guest's
first answer against one of an open policy; a list of the host's that is read through a view. `make bench` runs it last;
`--quick` fewer rounds, `--only WORD` the benchmarks whose name has it.

Ratios in the same rounds, alternating. Writes bench/results/strict.json and strict.png."""

from __future__ import annotations

import json
import statistics
import subprocess
import time
from collections.abc import Callable

from bench import ENVIRONMENT, TURNS, Bench, Times, busy, main, timed

from belljar import Policy, Sandbox, SandboxConfig, Template
from belljar import Template as AnyTemplate

PYTHON = "/usr/bin/python3"

KERNELS = """
import heapq, math, re, time
from json import dumps, loads

def nbody():
    bodies = [[float(i), i * 0.5, 1.0, 0.0, 0.1, 0.0, 1.0 / (i + 1)] for i in range(5)]
    for _ in range(1200):
        for i, a in enumerate(bodies):
            for b in bodies[i + 1 :]:
                dx, dy, dz = a[0] - b[0], a[1] - b[1], a[2] - b[2]
                pull = 0.001 / (dx * dx + dy * dy + dz * dz + 0.01) ** 1.5
                for at, d in enumerate((dx, dy, dz)):
                    a[3 + at % 3] -= d * b[6] * pull
                    b[3 + at % 3] += d * a[6] * pull

def fib():
    def f(n):
        return n if n < 2 else f(n - 1) + f(n - 2)
    f(21)

def builtin_names():
    total = 0
    for i in range(60_000):
        total += len(str(i)) + max(i, 3) + isinstance(i, int) + abs(-i)

def objects():
    class Point:
        def __init__(self, x, y):
            self.x, self.y = x, y
        @property
        def norm(self):
            return self.x * self.x + self.y * self.y
    points = [Point(i, i + 1) for i in range(30_000)]
    sum(p.norm for p in points)
    sorted(points, key=lambda p: -p.norm)

def containers():
    counts = {}
    for i in range(100_000):
        key = i * 7919 % 5003
        counts[key] = counts.get(key, 0) + 1
    sorted(counts.items(), key=lambda item: (-item[1], item[0]))

def text():
    words = ["word%d" % (i % 97) for i in range(30_000)]
    " ".join(word.upper() for word in " ".join(words).split()).replace("WORD", "w").encode()

def formats():
    for i in range(15_000):
        "{:>8} {}".format(i, "x"), f"{i:>8} {i!r}", "%5d" % i

def regex():
    line = "2024-03-09 12:34:56 host app[123]: user=alice action=login ip=192.0.2.7 " * 40
    for _ in range(10):
        re.findall(r"(\\w+)=([\\w.]+)", line)
        re.sub(r"\\d+", "#", line)

def json_text():
    data = {"rows": [{"id": i, "name": "n%d" % i, "values": [i, i / 3, None, True]} for i in range(1000)]}
    loads(dumps(data))

def heap():
    waiting = []
    for i in range(20_000):
        heapq.heappush(waiting, i * 7919 % 50_021)
    while waiting:
        heapq.heappop(waiting)

def module_names():
    total = 0.0
    for i in range(60_000):
        total += math.sqrt(i) * math.pi

times = {}
for kernel in (nbody, fib, builtin_names, objects, containers, text, formats, regex, json_text, heap, module_names):
    found = []
    for _ in range(12):
        begun = time.process_time()
        kernel()
        found.append(time.process_time() - begun)
    times[kernel.__name__] = min(found)
"""


def config() -> SandboxConfig:
    policy = SandboxConfig("everyday", timeout=60.0)
    policy.allow_safe_module("time", "process_time")
    return policy


def kernels(bench: Bench) -> None:
    found: dict[str, list[tuple[float, float]]] = {}
    for _ in range(5 if bench.rounds < 100 else 9):
        names: dict[str, object] = {}
        with Sandbox(config()) as sandbox:
            sandbox.execute(KERNELS, names)
        done = subprocess.run([PYTHON, "-I", "-c", KERNELS + "\nimport json; print(json.dumps(times))"], stdout=subprocess.PIPE,
                              check=True, env=ENVIRONMENT)  # fmt: skip
        inside, outside = names["times"], json.loads(done.stdout)
        assert isinstance(inside, dict)
        for name in outside:
            found.setdefault(name, []).append((inside[name], outside[name]))
    ratios = {name: statistics.median(mine / theirs for mine, theirs in pairs) for name, pairs in found.items()}
    for name, ratio in ratios.items():
        bench.times[f"kernel {name}"] = {"ratio": ratio}
    bench.number("CPU kernels under a language policy", "in the jar", "python3 -I", statistics.geometric_mean(ratios.values()),
                 1.05, False, "  ".join(f"{name} {ratio:.2f}" for name, ratio in ratios.items()))  # fmt: skip


def entering(bench: Bench) -> None:
    """The guest of a language policy has entered it before it is parked: what is left is a run's own way through it."""
    policy = Policy(**config().to_policy())
    with Template(policy, parked=2) as strict, Template(Policy(), parked=2) as opened:
        times: dict[AnyTemplate, Times] = {strict: Times("under a language policy"), opened: Times("under an open policy")}
        for _ in range(bench.rounds // TURNS):
            for template, taken in times.items():
                for _ in range(TURNS):
                    busy(0.008)
                    timed(taken, lambda: template.run("1+1"))  # noqa: B023
        bench.row("1+1 under a language policy, parked", times[strict], times[opened], None, at_least=False)
        empty = {strict: Times("under a language policy"), opened: Times("under an open policy")}
        for _ in range(max(bench.rounds // 6, 10)):
            for template, taken in empty.items():
                held = [template.sandbox() for _ in range(2)]
                timed(taken, lambda: template.run("1+1"))  # noqa: B023
                for sandbox in held:
                    sandbox.close()
                time.sleep(0.02)
        bench.row("the same with an empty pool: it enters then", empty[strict], empty[opened], None, at_least=False)


COUNT = 20_000
READ = """
from time import process_time
begun = process_time()
for item in items: pass
seconds = (process_time() - begun) / len(items)
"""


def proxied(bench: Bench) -> None:
    """A list of the host's crosses whole, and is shown by the policy as the host's; a `readonly` one stays there and is read in
    batches over the value channel. Against a list of the program's own."""
    import belljar

    numbers = list(range(COUNT))
    shown, viewed, own = Times("a list of the host's"), Times("belljar.readonly"), Times("its own list")
    for _ in range(7 if bench.rounds < 100 else 15):
        for times, given, before in ((shown, numbers, ""), (viewed, belljar.readonly(numbers), ""),
                                     (own, numbers, "items = list(items)\n")):  # fmt: skip
            names: dict[str, object] = {"items": given}
            with Sandbox(config()) as sandbox:
                sandbox.execute(before + READ.replace("process_time", "perf_counter") if times is viewed else before + READ, names)
            assert isinstance(names["seconds"], float)
            times.seconds.append(names["seconds"])
    bench.row("an item of a host's list, against an own one", shown, own, None, at_least=False)
    bench.row("the same of a view that stays in the host", viewed, own, None, at_least=False)


if __name__ == "__main__":
    benchmarks: dict[str, Callable[[Bench], None]] = {"kernels": kernels, "entering": entering, "proxied": proxied}
    raise SystemExit(main(__doc__, "strict", benchmarks))
