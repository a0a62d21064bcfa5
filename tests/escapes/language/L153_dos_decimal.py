"""L153 decimal with huge precision

kind: dos
expect: ImportError
control: none
"""

import decimal
reached = decimal
