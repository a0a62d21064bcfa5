"""What the deny-by-default language policy costs: CPU kernels under it, a parked guest's first answer, a list of the host's that is read
through a view."""

from __future__ import annotations

import json
from collections.abc import Callable

from frame import PYTHON, STATES, Bench, Section, Side
from inside import kernel_rows
from parts import output_of

import belljar
from belljar import Policy, Sandbox, SandboxConfig, Template

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
    policy.allow_safe_module("time", "process_time", "perf_counter")
    return policy


def executed(code: str, names: dict[str, object]) -> dict[str, object]:
    """The names after the code has run under the policy."""
    with Sandbox(config()) as sandbox:
        sandbox.execute(code, names)
    return names


def kernels(bench: Bench) -> None:
    """Kernels that only compute, under the language policy `everyday` in a guest, and in a plain Python, the best time of all rounds."""

    def inside() -> dict[str, float]:
        times = executed(KERNELS, {})["times"]
        assert isinstance(times, dict)
        return times

    def outside() -> dict[str, float]:
        return dict(json.loads(output_of(PYTHON, "-I", "-c", KERNELS + "\nimport json; print(json.dumps(times))")))

    kernel_rows(bench, "CPU kernels under a language policy", inside, outside, 9, 1.05)


def entering(bench: Bench) -> None:
    """The guest of a language policy has entered it before it is parked: what is left is a run's own way through it. With an empty pool
    it is entered while one waits."""
    state = "host busy 8 ms"
    policy = Policy(**config().to_policy())
    with Template(policy, parked=2) as strict, Template(Policy(), parked=2) as opened:
        sides = []
        for template, name in ((strict, "under a language policy"), (opened, "under an open policy")):
            sides.append(Side(name, lambda template=template: template.run("1+1"), STATES[state], kind="baseline"))
        bench.alternate(sides, rounds=30, seconds=9)
        bench.row("1+1 under a language policy", *sides, state=state)
        held: list[Sandbox] = []

        def emptied(template: Template) -> Callable[[], None]:
            def take() -> None:
                while held:
                    held.pop().close()
                STATES["host sleeping 8 ms"]()
                STATES["host sleeping 8 ms"]()
                held.extend(template.sandbox() for _ in range(2))

            return take

        empty = []
        for template, name in ((strict, "under a language policy"), (opened, "under an open policy")):
            run = Side(name, lambda template=template: template.run("1+1"), emptied(template), turns=4, kind="baseline")
            empty.append(run)
        bench.alternate(empty, rounds=12, seconds=8)
        while held:
            held.pop().close()
        bench.row("1+1 under a language policy, empty pool", *empty)


COUNT = 20_000
READ = """
from time import {clock}
begun = {clock}()
for item in items: pass
seconds = ({clock}() - begun) / len(items)
"""


def proxied(bench: Bench) -> None:
    """A list of the host's crosses whole, and is shown by the policy as the host's; a `readonly` one stays there and is read in batches
    over the value channel. Against a list of the program's own. The time is that of one item."""
    numbers = list(range(COUNT))

    def reading(items: object, before: str = "", clock: str = "process_time") -> Callable[[], float]:
        def run() -> float:
            seconds = executed(before + READ.format(clock=clock), {"items": items})["seconds"]
            assert isinstance(seconds, float)
            return seconds

        return run

    shown = Side("a list of the host's", reading(numbers), turns=1)
    viewed = Side("belljar.readonly", reading(belljar.readonly(numbers), clock="perf_counter"), turns=1)
    own = Side("its own list", reading(numbers, "items = list(items)\n"), turns=1, kind="baseline")
    bench.alternate([shown, viewed, own], rounds=15, seconds=10)
    bench.row("an item of a host's list, under a language policy", shown, own)
    bench.row("an item of a view that stays in the host", viewed, own)


SECTIONS = [
    Section("strict-kernels", "Computing under a language policy", kernels),
    Section("strict", "Entering a language policy", entering),
    Section("views", "A host's list under a language policy", proxied),
]
