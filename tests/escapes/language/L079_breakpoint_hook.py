"""L079 breakpoint() imports what the environment names

kind: namespace
expect: NameError
"""

reached = breakpoint
