"""L046 traceback through __exit__ arguments

kind: namespace
expect: AttributeError
"""

class Catch:
    def __enter__(self): return self
    def __exit__(self, kind, value, traceback):
        self.traceback = traceback
        return True
with Catch() as catch:
    1 / 0
reached = catch.traceback.tb_frame
