"""L006 descriptors taken from type.__dict__

kind: namespace
expect: AttributeError
"""

reached = type.__dict__["__subclasses__"]
