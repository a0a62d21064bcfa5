"""L027 functools.partial exposes what it holds

kind: namespace
expect: ImportError
"""

from functools import partial
reached = partial(len).func
