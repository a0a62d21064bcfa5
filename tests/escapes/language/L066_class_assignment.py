"""L066 __class__ assignment

kind: mutation
expect: SandboxError or TypeError
features: math
"""

import math
class C(type(math)): pass
math.__class__ = C
reached = 1
