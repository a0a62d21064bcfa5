"""L067 type.__bases__ assignment

kind: mutation
expect: AttributeError
"""

class A: pass
class B(A): pass
class C: pass
B.__bases__ = (C,)
reached = issubclass(B, C)
