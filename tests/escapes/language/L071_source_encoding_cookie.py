"""L071 coding cookie in a bytes source

kind: namespace
expect: SyntaxError
"""

exec(b"# coding: utf-7\nx = 1 +AAo-reached = 1")
