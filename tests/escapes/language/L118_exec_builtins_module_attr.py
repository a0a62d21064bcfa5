"""L118 type(__builtins__) as a constructor

kind: namespace
expect: TypeError
"""

reached = type(__builtins__)("x") if not isinstance(__builtins__, dict) else type(__import__("sys"))("x")
