"""L069 attribute name of a str subclass that lies to the check

kind: mutation
expect: TypeError or AttributeError
features: math
control: any
"""

class Name(str):
    def __eq__(self, other): return True
    def __hash__(self): return hash("pi")
    def startswith(self, *a): return False
import math
reached = getattr(math, Name("__dict__"))
if type(reached) is float:
    reached = None
    raise AttributeError("only pi")
