"""L099 the state of an audit hook

kind: mutation
expect: ImportError
"""

import sys
reached = sys.addaudithook
