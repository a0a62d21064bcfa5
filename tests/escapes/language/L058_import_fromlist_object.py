"""L058 fromlist with a hostile object

kind: namespace
expect: ImportError
"""

class From(list):
    def __len__(self): return 1
    def __iter__(self): return iter(["path"])
reached = __import__("os", {}, {}, From(["path"]))
