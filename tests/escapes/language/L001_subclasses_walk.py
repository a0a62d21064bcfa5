"""L001 type graph: object.__subclasses__()

kind: namespace
expect: AttributeError
"""

reached = [t for t in object.__subclasses__() if t.__name__ == "Popen" or t.__name__ == "catch_warnings"] or object.__subclasses__()
