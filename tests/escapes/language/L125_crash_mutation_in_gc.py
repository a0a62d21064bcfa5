"""L125 a list changed by a weakref callback

kind: crash
expect: ImportError or crash
"""

import weakref
reached = weakref.ref
