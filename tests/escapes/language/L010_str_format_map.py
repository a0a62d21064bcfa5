"""L010 str.format_map attribute traversal

kind: namespace
expect: AttributeError
"""

reached = "{x.__class__}".format_map({"x": 1})
