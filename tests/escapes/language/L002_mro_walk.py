"""L002 type graph: __mro__ and __base__

kind: namespace
expect: AttributeError
"""

reached = ().__class__.__mro__[-1]
