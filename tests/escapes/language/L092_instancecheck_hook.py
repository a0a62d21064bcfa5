"""L092 __instancecheck__ runs in trusted code

kind: mutation
expect: ImportError
control: any
"""

class Meta(type):
    def __instancecheck__(cls, value):
        global reached
        reached = 1
        return True
class Name(metaclass=Meta): pass
__import__("os")
