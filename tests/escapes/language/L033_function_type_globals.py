"""L033 a function with foreign globals

kind: namespace
expect: TypeError
"""

reached = type(lambda: 0)(eval.__code__ if hasattr(eval, "__code__") else (getattr(lambda: 0, "__code__", 0)), {})
