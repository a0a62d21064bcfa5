"""L032 code objects and bytecode

kind: namespace
expect: AttributeError
"""

reached = (lambda: 0).__code__.replace(co_consts=(1,))
