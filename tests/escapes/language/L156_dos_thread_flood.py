"""L156 thread flood

kind: dos
expect: ImportError
control: none
"""

import _thread
reached = _thread
