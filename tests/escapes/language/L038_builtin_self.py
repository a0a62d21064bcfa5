"""L038 builtin_function.__self__ is the builtins module

kind: namespace
expect: AttributeError
"""

reached = len.__self__
