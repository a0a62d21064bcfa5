"""L112 frames of class bodies

kind: namespace
expect: AttributeError
"""

class C:
    reached = (lambda: 0).__globals__
reached = C.reached
