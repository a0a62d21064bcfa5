"""L126 trace function at the recursion limit

kind: crash
expect: ImportError
"""

import sys
reached = sys.settrace
