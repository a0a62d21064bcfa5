"""L100 the runner shows an exception: its __str__ is guest code

kind: mutation
expect: Hostile
control: any
"""

class Hostile(Exception):
    def __str__(self):
        global reached
        reached = object.__subclasses__()
        return "text"
raise Hostile
