"""L115 forged __class__ cell

kind: mutation
expect: accepted
"""

class A:
    def f(self): return __class__
reached = A().f() is A
