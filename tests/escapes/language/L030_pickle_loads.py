"""L030 pickle.loads of guest bytes

kind: namespace
expect: ImportError
"""

import pickle
reached = pickle.loads(b"cos\ngetpid\n(tR.")
