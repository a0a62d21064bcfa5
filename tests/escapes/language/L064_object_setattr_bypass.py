"""L064 object.__setattr__ past the policy's own

kind: mutation
expect: TypeError or AttributeError
features: math
"""

import math
object.__setattr__(math, "pi", 3)
reached = math.pi == 3
