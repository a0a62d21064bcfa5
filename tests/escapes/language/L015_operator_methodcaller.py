"""L015 operator.methodcaller, granted

kind: namespace
expect: AttributeError
allow: operator methodcaller
"""

from operator import methodcaller
reached = methodcaller("__subclasses__")(object)
