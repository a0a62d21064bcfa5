"""L007 vars() on a type

kind: namespace
expect: TypeError
"""

reached = vars(type)["__subclasses__"]
