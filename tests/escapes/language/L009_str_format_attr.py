"""L009 str.format attribute traversal

kind: namespace
expect: AttributeError
"""

reached = "{0.__class__}".format(1)
