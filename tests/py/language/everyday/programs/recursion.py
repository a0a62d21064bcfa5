"""Deep recursion: Ackermann, flattening, permutations, memoization."""
from functools import lru_cache


@lru_cache(maxsize=None)
def ackermann(m, n):
    if m == 0:
        return n + 1
    if n == 0:
        return ackermann(m - 1, 1)
    return ackermann(m - 1, ackermann(m, n - 1))


def flatten(tree):
    for item in tree:
        if isinstance(item, list):
            yield from flatten(item)
        else:
            yield item


def depth(n):
    return 0 if n == 0 else 1 + depth(n - 1)


def hanoi(n, a, b, c):
    return [] if n == 0 else hanoi(n - 1, a, c, b) + [(a, c)] + hanoi(n - 1, b, a, c)


nested = []
for i in range(100):
    nested = [nested, i]
print(ackermann(2, 40), sum(flatten(nested)), depth(400), len(hanoi(8, "a", "b", "c")))
