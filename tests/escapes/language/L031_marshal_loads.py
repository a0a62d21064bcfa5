"""L031 marshal.loads makes code objects

kind: namespace
expect: ImportError
"""

import marshal
reached = marshal.loads(marshal.dumps(1)) == 1
