"""A module of the program's own, for travelling.py: no sandbox has it."""

from __future__ import annotations

import functools

NUMBER = 5


def plus(x: int) -> int:
    return x + NUMBER


def double(x: int) -> int:
    return plus(x) * 2


class Kept:
    def value(self) -> int:
        return NUMBER

    @functools.cached_property
    def kept(self) -> int:
        return 6

    def add(self, n: int) -> int:
        return n + 1

    more = functools.partialmethod(add, 3)
