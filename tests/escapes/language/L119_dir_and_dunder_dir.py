"""L119 dir() lists names

kind: namespace
expect: accepted
"""

reached = dir(object)
