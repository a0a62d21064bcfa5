"""L090 a __class__ property makes isinstance(x, str) true

kind: mutation
expect: TypeError
features: math
control: any
"""

class Liar:
    __class__ = str
    def __str__(self): return "os"
import math
getattr(math, Liar())
