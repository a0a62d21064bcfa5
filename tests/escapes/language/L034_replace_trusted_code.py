"""L034 assignment to __code__ of a trusted function

kind: mutation
expect: AttributeError
features: random
control: any
"""

import random
random.choice.__code__ = (lambda self, seq: 42).__code__
reached = 1
