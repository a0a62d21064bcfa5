"""L065 setattr on the types of the policy

kind: mutation
expect: TypeError
features: math
control: error
"""

import math
type(math).injected = 1
reached = 1
