"""L070 NFKC: full-width letters in an identifier

kind: namespace
expect: AttributeError
"""

reached = object.__ｓubclasses__()
