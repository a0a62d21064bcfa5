"""L097 fork_exec without an audit event

kind: namespace
expect: ImportError
"""

import _posixsubprocess
reached = _posixsubprocess.fork_exec
