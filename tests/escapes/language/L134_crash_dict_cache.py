"""L134 a class dictionary changed behind the cache

kind: mutation
expect: ImportError
"""

import gc
reached = gc.get_referents
