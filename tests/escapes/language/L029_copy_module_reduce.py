"""L029 copy.copy calls a __reduce_ex__ made by the guest

kind: namespace
expect: ImportError
"""

import copy
reached = copy.copy
