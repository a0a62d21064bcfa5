"""L110 string.Template

kind: mutation
expect: ImportError
"""

import string
reached = string.Template("$x").substitute(x=1)
