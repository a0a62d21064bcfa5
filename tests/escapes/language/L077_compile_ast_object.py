"""L077 compile of a syntax tree with impossible nodes

kind: namespace
expect: TypeError
"""

reached = compile("1", "", "exec", 0x400)
