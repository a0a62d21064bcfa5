"""L098 a subinterpreter has no policy

kind: namespace
expect: ImportError
"""

try:
    import _xxsubinterpreters as s
except ImportError:
    import _interpreters as s
reached = s
