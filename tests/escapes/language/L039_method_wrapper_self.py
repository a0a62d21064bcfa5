"""L039 __self__ of method-wrapper and bound method

kind: namespace
expect: AttributeError
"""

class C:
    def m(self): pass
for thing in ("".__str__, C().m, [].append, print):
    try:
        reached = thing.__self__
    except AttributeError:
        pass
if "reached" not in globals():
    raise AttributeError("none has it")
