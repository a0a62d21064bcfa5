"""What ends CPython itself by a signal, and is refused: iterators within iterators. Groups of errors are in test_syntax_objects.py."""

from __future__ import annotations

import ast
from collections.abc import Callable

from conftest import Outcome

KINDS = (
    "lambda i: filter(int, i)",
    "lambda i: map(int, i)",
    "zip",
    "enumerate",
    "chain",
    "chain.from_iterable",
    "cycle",
    "lambda i: islice(i, 5)",
    "lambda i: starmap(pow, i)",
    "lambda i: takewhile(int, i)",
    "lambda i: dropwhile(int, i)",
    "lambda i: filterfalse(int, i)",
    "accumulate",
    "lambda i: compress(i, i)",
    "pairwise",
    "groupby",
    "zip_longest",
    "lambda i: iter(i.__next__, 5)",
    "lambda i: iter(map(int, i).__next__, 5)",
    "lambda i: Filter(int, i)",
    "lambda i: Zip(i)",
)

SOURCE = """
from itertools import *
class Filter(filter): pass
class Zip(zip):
    __slots__ = ()
def nested(made, count):
    i = iter(())
    for _ in range(count):
        i = made(i)
    return i
def ends(made):
    i = nested(made, 200_000)
    try:
        return list(i)
    except RecursionError:
        return "RecursionError"
"""


def test_iterators_within_iterators_end_before_the_stack(run: Callable[..., Outcome]) -> None:
    rows = "".join(f"print(({kind!r}, ends({kind})))\n" for kind in KINDS)
    outcome = run("stdout itertools", SOURCE + rows, seconds=60.0)
    assert outcome.error is None, outcome.text
    answers = [ast.literal_eval(line) for line in outcome.stdout.splitlines()]
    assert [kind for kind, _ in answers] == list(KINDS)
    assert answers[0][1] == "RecursionError"
    assert {kind: end for kind, end in answers if end not in ("RecursionError", [])} == {}  # some need little stack


def test_iterators_within_iterators_work_a_thousand_deep(run: Callable[..., Outcome]) -> None:
    source = (
        SOURCE
        + """
assert list(nested(lambda i: chain([1], i), 1000)) == [1] * 1000
assert list(nested(lambda i: map(lambda x: x + 1, chain(i, [0])), 40)) == list(range(40, 0, -1))
ended = []
class Last(filter):
    def __del__(self): ended.append(1)
i = nested(lambda i: Last(int, i), 3000)
assert list(i) == [] and not ended
del i
assert len(ended) == 3000
for kind in Filter, filter:
    held = [kind(int, [x]) for x in range(1000)]
    assert sum(map(len, map(list, held))) == 999 and next(kind(None, [0, 2])) == 2
    del held
"""
    )
    outcome = run("stdout itertools", source)
    assert outcome.error is None, outcome.text
