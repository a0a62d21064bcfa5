"""Arrays that sandboxes can be shown as they are: `empty`."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from belljar._core import core

if TYPE_CHECKING:
    import numpy

__all__ = ["empty"]


def empty(shape: int | Iterable[int], dtype: Any = float) -> numpy.ndarray[Any, Any]:
    """A numpy array of zeros, in memory that a sandbox can see: to hand it over copies nothing, whatever its size.

    >>> prices = belljar.empty((1000, 250))
    >>> prices[:] = 2.5
    >>> with belljar.Sandbox(preload=["numpy"]) as sandbox:
    ...     sandbox["prices"] = prices
    ...     sandbox.run_code("prices.shape, float(prices.sum())").value
    ((1000, 250), 625000.0)

    It is an ordinary array for its owner, who may go on writing to it: a sandbox that was given it sees that, and can
    itself only read. So can it see the rest of the array, if it was given a part. `shape` and `dtype` are numpy's;
    `TypeError` for a dtype that holds Python objects, `MemoryError` where there is no room."""
    import numpy

    kind = numpy.dtype(dtype)
    if kind.hasobject:
        raise TypeError(f"objects of Python cannot lie in shared memory: {kind} is no dtype for belljar.empty")
    lengths = (shape,) if isinstance(shape, int) else tuple(shape)
    if any(length < 0 for length in lengths):
        raise ValueError(f"negative dimensions: {lengths}")
    size = math.prod(lengths) * kind.itemsize
    if size == 0:
        return numpy.zeros(lengths, kind)
    memory: Any = core.memory(size)
    array: numpy.ndarray[Any, Any] = numpy.frombuffer(memory, kind).reshape(lengths)
    return array
