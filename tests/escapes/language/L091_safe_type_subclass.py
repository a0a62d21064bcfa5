"""L091 a str subclass passes a safe-type check with methods of its own

kind: mutation
expect: TypeError
control: any
"""

class Mode(str):
    def __eq__(self, other): return True
    __hash__ = str.__hash__
# As a control this runs in plain Python, with the tester's rights: a name that nobody has.
open("/proc/self/belljar-no-such-file", Mode("w"))
