"""L037 closure cells can be written

kind: mutation
expect: AttributeError
"""

def f(x):
    return lambda: x
g = f(1)
g.__closure__[0].cell_contents = 2
reached = g() == 2
