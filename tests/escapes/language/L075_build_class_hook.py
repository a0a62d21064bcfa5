"""L075 __build_class__ in a __builtins__ of the guest's own

kind: namespace
expect: AttributeError
"""

g = {"__builtins__": {"__build_class__": lambda f, name, *bases: f, "__name__": "x"}}
exec("class C: pass", g)
reached = g["C"].__globals__
