"""L095 gc.get_objects and get_referrers

kind: namespace
expect: ImportError
"""

import gc
reached = gc.get_objects
