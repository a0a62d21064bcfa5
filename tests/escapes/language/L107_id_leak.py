"""L107 id, repr and hash tell addresses

kind: namespace
expect: accepted
"""

reached = id(object())
