"""L004 type graph: object.__getattribute__ called by hand

kind: namespace
expect: AttributeError
"""

reached = type.__getattribute__(int, "__subclasses__")()
