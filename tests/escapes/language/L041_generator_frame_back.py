"""L041 generator frame: gi_frame.f_back

kind: namespace
expect: AttributeError
"""

def walk():
    yield g.gi_frame.f_back.f_globals
g = walk()
reached = next(g)
