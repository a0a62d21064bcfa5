import numpy as np
from numba import njit, prange, vectorize


@njit
def total(n):
    s = 0
    for i in range(n):
        s += i * i
    return s


@vectorize(["float64(float64)"])
def twice(x):
    return 2 * x


@njit(parallel=True)
def side_by_side(a):
    s = 0.0
    for i in prange(a.size):
        s += a[i]
    return s


print(total(1000), twice(np.arange(3.0)), side_by_side(np.ones(1000)))
