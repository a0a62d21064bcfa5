"""L083 displaying a SyntaxError reads the named file

kind: namespace
expect: nothing
features: traceback
control: any
"""

import traceback
error = SyntaxError("x", ("/etc/passwd", 1, 1, None))
reached = "root:" in "".join(traceback.format_exception(error))
