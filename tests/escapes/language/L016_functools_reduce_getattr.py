"""L016 getattr passed to a higher-order function, granted

kind: namespace
expect: AttributeError
allow: functools reduce
"""

from functools import reduce
reached = reduce(getattr, ["__class__", "__mro__"], 1)
