"""L121 a raised recursion limit

kind: crash
expect: ImportError
"""

import sys
reached = sys.setrecursionlimit
