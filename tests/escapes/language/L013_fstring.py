"""L013 f-string with attribute access and nested spec

kind: namespace
expect: AttributeError
"""

reached = f"{object.__subclasses__()!r:.30}"
