"""L071 coding cookie in a bytes source

kind: namespace
expect: TypeError
"""

exec(b"# coding: latin-1\nreached = 1")
