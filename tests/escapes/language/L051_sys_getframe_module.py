"""L051 sys reached through an allowed module

kind: namespace
expect: AttributeError
features: random
"""

import random
reached = random._os
