"""L094 inspect.getattr_static

kind: namespace
expect: ImportError
"""

import inspect
reached = inspect.getattr_static
