"""L011 string.Formatter.get_field returns the object itself

kind: namespace
expect: ImportError
"""

import string
reached = string.Formatter().get_field("0.__class__.__mro__", (1,), {})[0]
