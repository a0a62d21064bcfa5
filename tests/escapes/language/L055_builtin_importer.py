"""L055 __loader__ of a builtin module loads posix

kind: namespace
expect: AttributeError
features: math
"""

import math
reached = math.__loader__ or math.__spec__
