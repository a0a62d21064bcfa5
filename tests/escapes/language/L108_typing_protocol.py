"""L108 the insides of typing

kind: namespace
expect: ImportError or AttributeError
"""

import typing
reached = typing.sys
