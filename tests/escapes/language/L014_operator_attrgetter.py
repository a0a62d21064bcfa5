"""L014 operator.attrgetter with a dotted path, granted

kind: namespace
expect: AttributeError
allow: operator attrgetter
"""

from operator import attrgetter
reached = attrgetter("__class__.__mro__")(1)
