"""L061 dict methods on __builtins__

kind: mutation
expect: TypeError
"""

b = __builtins__ if isinstance(__builtins__, dict) else None
dict.update(b if b is not None else __builtins__, injected=1)
reached = injected
