"""L008 descriptor __get__ instead of attribute access

kind: namespace
expect: AttributeError
"""

reached = type(lambda: 0).__dict__["__globals__"].__get__(lambda: 0)
