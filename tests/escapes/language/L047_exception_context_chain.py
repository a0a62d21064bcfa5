"""L047 __context__ and __cause__ of an exception

kind: namespace
expect: AttributeError
"""

try:
    try:
        1 / 0
    except Exception:
        raise ValueError
except Exception as error:
    reached = error.__context__
