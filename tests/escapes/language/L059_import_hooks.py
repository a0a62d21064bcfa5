"""L059 sys.meta_path, sys.path_hooks, sys.modules

kind: mutation
expect: ImportError
"""

import sys
reached = sys.meta_path
