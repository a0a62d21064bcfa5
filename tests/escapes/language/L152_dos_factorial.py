"""L152 math.factorial

kind: dos
expect: stopped
features: math
control: none
"""

import math
math.factorial(10 ** 8)
