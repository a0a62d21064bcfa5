"""L074 metaclass.__prepare__ supplies the names of a class body

kind: namespace
expect: AttributeError
"""

class Names(dict):
    def __missing__(self, key):
        if key.startswith("__"): raise KeyError(key)
        return getattr(object, "__subclasses__")
class Meta(type):
    @classmethod
    def __prepare__(cls, name, bases): return Names()
class C(metaclass=Meta):
    x = anything
reached = 1
