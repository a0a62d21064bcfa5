"""L076 exec puts the interpreter's builtins dictionary into a namespace

kind: namespace
expect: nothing
"""

g = {}
exec("1", g)
reached = type(g["__builtins__"]) is dict
