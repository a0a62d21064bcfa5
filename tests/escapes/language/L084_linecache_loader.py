"""L084 linecache calls __loader__.get_source of guest globals

kind: namespace
expect: ImportError
"""

import linecache
reached = linecache.getline
