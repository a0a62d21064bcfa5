"""L136 object.__getstate__ hands out the dictionary of the builtins

kind: namespace
expect: AttributeError
features: math
"""

import math
reached = object.__getstate__(math)
