"""L150 recursion

kind: dos
expect: RecursionError
control: none
"""

def f():
    return f()
f()
