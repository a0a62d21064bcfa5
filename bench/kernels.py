"""CPU kernels: the same work inside and outside. Prints one JSON object: kernel -> best of several, in seconds.

Best, not mean: what the machine does beside it only ever adds."""

import json
import re
import time


def nbody() -> None:
    bodies = [[float(i), i * 0.5, 1.0, 0.0, 0.1, 0.0, 1.0 / (i + 1)] for i in range(5)]
    for _ in range(1200):
        for i, a in enumerate(bodies):
            for b in bodies[i + 1 :]:
                dx, dy, dz = a[0] - b[0], a[1] - b[1], a[2] - b[2]
                pull = 0.001 / (dx * dx + dy * dy + dz * dz + 0.01) ** 1.5
                for at, d in enumerate((dx, dy, dz)):
                    a[3 + at % 3] -= d * b[6] * pull
                    b[3 + at % 3] += d * a[6] * pull
        for body in bodies:
            body[0] += 0.001 * body[3]
            body[1] += 0.001 * body[4]
            body[2] += 0.001 * body[5]


def fib() -> None:
    def f(n: int) -> int:
        return n if n < 2 else f(n - 1) + f(n - 2)

    f(22)


def containers() -> None:
    counts: dict[int, int] = {}
    for i in range(120_000):
        key = i * 7919 % 5003
        counts[key] = counts.get(key, 0) + 1
    sorted(counts.items(), key=lambda item: (-item[1], item[0]))


def text() -> None:
    words = [f"word{i % 97}" for i in range(30_000)]
    joined = " ".join(words)
    " ".join(word.upper() for word in joined.split()).replace("WORD", "w").encode()


def jsons() -> None:
    data = {"rows": [{"id": i, "name": f"n{i}", "values": [i, i / 3, None, True]} for i in range(1500)]}
    json.loads(json.dumps(data))


def regex() -> None:
    line = "2024-03-09 12:34:56 host app[123]: user=alice action=login ip=192.0.2.7 " * 60
    for _ in range(12):
        re.findall(r"(\w+)=([\w.]+)", line)
        re.sub(r"\d+", "#", line)


def memory() -> None:
    for _ in range(60):
        block = bytearray(1 << 20)
        block[::4096] = b"x" * 256
        del block


def arrays() -> None:
    import numpy

    matrix = numpy.arange(250_000, dtype=float).reshape(500, 500)
    (matrix @ matrix).sum()
    numpy.sort(matrix.ravel()[::-1])


def best(kernel: "object", rounds: int = 5) -> float:
    assert callable(kernel)
    times = []
    for _ in range(rounds + 1):
        start = time.perf_counter()
        kernel()
        times.append(time.perf_counter() - start)
    return min(times[1:])


print(json.dumps({kernel.__name__: best(kernel) for kernel in
                  (nbody, fib, containers, text, jsons, regex, memory, arrays)}))  # fmt: skip
