"""L028 object.__reduce_ex__ returns functions of copyreg

kind: namespace
expect: AttributeError
"""

reached = object().__reduce_ex__(2)
