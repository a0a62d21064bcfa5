"""L138 the __reduce__ of a bound builtin names its owner

kind: namespace
expect: AttributeError
"""

reached = [].append.__reduce__()
