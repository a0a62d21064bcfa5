"""L132 a small thread stack

kind: crash
expect: ImportError
"""

import threading
reached = threading.stack_size
