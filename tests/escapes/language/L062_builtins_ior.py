"""L062 dict.__ior__ on __builtins__

kind: mutation
expect: TypeError
"""

dict.__ior__(__builtins__, {"injected": 1})
reached = injected
