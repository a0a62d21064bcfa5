#!/usr/bin/env python3
"""What the deny-by-default language policy costs, without a jar: CPU kernels under it against plain CPython, entering
it, reading a proxied list. CPU time, best of several in processes side by side; the last line is the geometric mean.

bench/strict.py [--python EXE] [--rounds N]"""

from __future__ import annotations

import argparse
import json
import math
import pathlib
import subprocess
import sys
import sysconfig
import tempfile
from typing import Any

TREE = pathlib.Path(__file__).resolve().parent.parent

KERNELS = '''
import re, time
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

times = {}
for kernel in (nbody, fib, builtin_names, objects, containers, text, formats, regex, json_text):
    found = []
    for _ in range(12):
        begun = time.process_time()
        kernel()
        found.append(time.process_time() - begun)
    times[kernel.__name__] = min(found)
'''

CHILD = r"""
import json, os, sys, time
request = json.loads(sys.argv[1])
answer = {}
if request["strict"]:
    sys.path.insert(0, request["extension"])
    import _belljar_language as native
    half = {"native": native, "__name__": "belljar_language"}
    with open(request["policy"]) as file:
        exec(compile(file.read(), "belljar_language.py", "exec"), half)
    clock = time.perf_counter
    begun = clock()
    language = half["prepare"](request["config"])
    answer["prepare_ms"] = (clock() - begun) * 1e3
    data = list(range(100_000))
    namespace = language.namespace({"data": language.proxy(data)})
    begun = clock()
    language.enter()
    answer["enter_ms"] = (clock() - begun) * 1e3
    language.run(request["kernels"], "<bench>", namespace)
    for name, key in (("data", "proxied_ns"), ("list(data)", "own_ns")):
        begun = clock()
        language.run(f"for item in {name}: pass", "<bench>", namespace)
        answer[key] = (clock() - begun) * 1e9 / len(data)
else:
    namespace = {"__name__": "__main__"}
    exec(compile(request["kernels"], "<bench>", "exec"), namespace)
answer["times"] = namespace["times"]
print(json.dumps(answer), flush=True)
os._exit(0)  # the blocked streams would trouble the interpreter's end
"""


def build(directory: str) -> None:
    subprocess.run(
        ["cc", "-std=gnu11", "-O2", "-shared", "-fPIC", f"-I{TREE}", f"-I{sysconfig.get_path('include')}",
         "-o", f"{directory}/_belljar_language.abi3.so", TREE / "guest" / "language.c",
         TREE / "tests" / "py" / "language" / "module.c"],
        check=True,
    )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--rounds", type=int, default=7)
    arguments = parser.parse_args()
    sys.path.insert(0, str(TREE / "tests" / "py" / "language"))
    from conftest import SandboxConfig

    config = SandboxConfig("stdout", "regex", "time", recursion_limit=900)
    config.allow_safe_module("json", "loads", "dumps")
    seen: dict[bool, list[dict[str, Any]]] = {False: [], True: []}
    with tempfile.TemporaryDirectory() as directory:
        build(directory)
        for number in range(arguments.rounds):
            for strict in (True, False) if number % 2 else (False, True):
                request = {"strict": strict, "extension": directory, "kernels": KERNELS, "config": config.to_dict(),
                           "policy": str(TREE / "guest" / "belljar_language.py")}  # fmt: skip
                done = subprocess.run(
                    [arguments.python, "-I", "-c", CHILD, json.dumps(request)], capture_output=True, text=True, check=True
                )
                seen[strict].append(json.loads(done.stdout))

    def best(strict: bool, name: str) -> float:
        return float(min(answer["times"][name] for answer in seen[strict]))

    ratios = []
    print(f"{'kernel':14} {'plain ms':>9} {'strict ms':>9} {'ratio':>6}")
    for name in seen[True][0]["times"]:
        plain_ms, strict_ms = best(False, name) * 1e3, best(True, name) * 1e3
        ratios.append(strict_ms / plain_ms)
        print(f"{name:14} {plain_ms:9.2f} {strict_ms:9.2f} {strict_ms / plain_ms:6.3f}")
    for key in ("prepare_ms", "enter_ms", "proxied_ns", "own_ns"):
        print(f"{key:14} {min(answer[key] for answer in seen[True]):9.3f}")
    print(f"geometric mean {math.exp(sum(map(math.log, ratios)) / len(ratios)):.3f}")


if __name__ == "__main__":
    main()
