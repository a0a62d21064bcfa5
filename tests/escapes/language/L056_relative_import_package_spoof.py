"""L056 relative import with a forged __package__

kind: namespace
expect: ImportError
"""

__package__ = "os"
from . import path
reached = path
