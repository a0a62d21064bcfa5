"""L128 ctypes NULL

kind: crash
expect: ImportError
"""

import ctypes
reached = ctypes.string_at
