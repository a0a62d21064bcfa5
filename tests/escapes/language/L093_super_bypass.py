"""L093 super() past a proxy's own lookup

kind: namespace
expect: AttributeError
features: math
"""

import math
reached = super(type(math), math).__getattribute__("__dict__")
