"""L105 sys.settrace

kind: mutation
expect: ImportError or AttributeError
features: stdout
"""

import sys
reached = sys.settrace
