"""L042 generator expression frame

kind: namespace
expect: AttributeError
"""

reached = (x for x in ()).gi_frame.f_globals
