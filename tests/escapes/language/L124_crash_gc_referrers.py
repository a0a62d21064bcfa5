"""L124 gc.get_referrers shows half-built objects

kind: crash
expect: ImportError
"""

import gc
reached = gc.get_referrers
