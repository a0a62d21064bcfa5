"""L022 functools.singledispatch evaluates string annotations

kind: namespace
expect: ImportError
"""

from functools import singledispatch
@singledispatch
def f(x): pass
def g(x: "globals().update(reached=1) or int"): pass
f.register(g)
