"""L135 `from x import y` falls back to sys.modules["x.y"], x made by the guest

kind: namespace
expect: ImportError
"""

class Fake:
    __name__ = "os"
g = {"__builtins__": {"__import__": lambda *a: Fake()}}
exec("from anything import path", g)
reached = g["path"]
