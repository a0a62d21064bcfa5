"""L082 a traceback prints a line of any file

kind: namespace
expect: nothing
features: traceback
control: any
"""

import traceback
try:
    exec("1 / 0")
except Exception:
    reached = "root" in traceback.format_exc()
