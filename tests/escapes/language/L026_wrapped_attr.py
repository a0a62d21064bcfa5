"""L026 __wrapped__ of a wrapper

kind: namespace
expect: AttributeError
"""

reached = staticmethod(len).__wrapped__
