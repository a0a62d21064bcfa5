"""L080 the type of an open file is a constructor

kind: namespace
expect: TypeError
features: stdout
control: error
"""

import sys
reached = type(sys.stdout)("/etc/passwd")
