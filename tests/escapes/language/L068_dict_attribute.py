"""L068 instance __dict__ of what the policy hands over

kind: mutation
expect: AttributeError
features: math
"""

import math
reached = math.__dict__
