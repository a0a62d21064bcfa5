"""L003 type graph: unbound type.mro and type.__subclasses__

kind: namespace
expect: AttributeError
"""

for way in (lambda: type.mro(int), lambda: type.__subclasses__(object), lambda: type.__dict__["mro"](int)):
    try:
        reached = way()
    except AttributeError:
        pass
if "reached" not in globals():
    raise AttributeError("all three")
