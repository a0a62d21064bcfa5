"""L019 positional class pattern: names come from a string at run time

kind: namespace
expect: AttributeError
"""

class Meta(type):
    def __instancecheck__(cls, instance):
        return True
class Pattern(metaclass=Meta):
    __match_args__ = ("__sub" + "classes__",)
match object:
    case Pattern(found):
        reached = found
    case _:
        raise AttributeError("no match")
