"""L057 __import__ with a str subclass as name

kind: namespace
expect: TypeError
features: math
"""

class Name(str):
    def __eq__(self, other): return other == "math" or str.__eq__(self, other)
    __hash__ = str.__hash__
reached = __import__(Name("os"))
