"""L040 __objclass__ of slot wrappers

kind: namespace
expect: AttributeError
"""

reached = str.__add__.__objclass__
