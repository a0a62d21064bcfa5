"""L018 match class pattern reads attributes without a dot

kind: namespace
expect: AttributeError
"""

match object:
    case type(__subclasses__=found):
        reached = found
    case _:
        raise AttributeError("no match")
