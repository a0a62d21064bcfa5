"""L096 ctypes

kind: namespace
expect: ImportError
"""

import ctypes
reached = ctypes
