"""L117 module state left for the next

kind: mutation
expect: SandboxError or AttributeError
features: random
"""

import random
random.choice = len
reached = 1
