"""L109 enum's functional API

kind: mutation
expect: ImportError
"""

import enum
reached = enum.Enum("E", "a")
