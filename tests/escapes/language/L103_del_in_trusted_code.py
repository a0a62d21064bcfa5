"""L103 __del__ runs in trusted code

kind: mutation
expect: AttributeError
"""

class Late:
    def __del__(self):
        global reached
        try:
            reached = object.__subclasses__()
        except AttributeError:
            pass
late = Late()
del late
if "reached" not in globals():
    raise AttributeError("hidden there as well")
