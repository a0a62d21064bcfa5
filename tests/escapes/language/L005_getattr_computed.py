"""L005 computed attribute name with getattr

kind: namespace
expect: AttributeError
"""

reached = getattr(object, "__sub" + "classes__")()
