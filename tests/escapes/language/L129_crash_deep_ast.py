"""L129 deep nesting in the compiler

kind: crash
expect: MemoryError or RecursionError or SyntaxError or crash
control: any
"""

eval("(" * 10000 + ")" * 10000)
