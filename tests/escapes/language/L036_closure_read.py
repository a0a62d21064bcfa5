"""L036 closure cells hold trusted objects

kind: namespace
expect: AttributeError
"""

def f(x):
    return lambda: x
reached = f(1).__closure__[0].cell_contents
