"""L021 typing.ForwardRef is eval

kind: namespace
expect: ImportError
"""

from typing import ForwardRef
reached = ForwardRef("1 + 1")
