"""L024 collections.namedtuple field names

kind: namespace
expect: ImportError
control: error
"""

from collections import namedtuple
try:
    namedtuple("A", ["x: 0)+print(1"])
except ValueError:
    raise ImportError("held by CPython")
reached = 1
