"""L133 deliberate crash by the library

kind: crash
expect: ImportError
"""

import faulthandler
reached = faulthandler
