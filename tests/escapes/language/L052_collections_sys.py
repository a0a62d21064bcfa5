"""L052 sys through another allowed module

kind: namespace
expect: AttributeError
features: regex
"""

import re
reached = re.enum
