"""L137 comparing a mappingproxy hands out what is behind it

kind: namespace
expect: AttributeError
"""

class Same:
    def __eq__(self, other):
        global reached
        reached = other
        return True
type(lambda: 0).__dict__ == Same()
