"""L054 __loader__.get_data reads any file

kind: namespace
expect: AttributeError
features: random
"""

import random
reached = random.__loader__.get_data
