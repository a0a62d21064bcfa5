"""L102 code that runs after the end

kind: mutation
expect: ImportError
"""

import atexit
reached = atexit.register
