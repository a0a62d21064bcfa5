"""L063 dict.__init__ on __builtins__

kind: mutation
expect: TypeError
"""

dict.__init__(__builtins__, injected=1)
reached = injected
