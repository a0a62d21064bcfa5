"""L120 bogus code object

kind: crash
expect: AttributeError
"""

c = (lambda: 0).__code__
reached = c.replace
