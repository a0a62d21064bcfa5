"""L091 a str subclass passes a safe-type check with methods of its own

kind: mutation
expect: TypeError
control: any
"""

class Mode(str):
    def __eq__(self, other): return True
    __hash__ = str.__hash__
open("attack.txt", Mode("w"))
