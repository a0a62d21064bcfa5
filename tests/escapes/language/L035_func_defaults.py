"""L035 function __defaults__ and __kwdefaults__

kind: mutation
expect: AttributeError
"""

def f(x=1): pass
reached = f.__defaults__
