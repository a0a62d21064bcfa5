"""L060 importlib and its relatives

kind: namespace
expect: ImportError
"""

for name in ("importlib", "imp", "pkgutil", "runpy", "zipimport", "_frozen_importlib", "_imp"):
    try:
        reached = __import__(name)
    except ImportError:
        pass
if "reached" not in globals():
    raise ImportError("none")
