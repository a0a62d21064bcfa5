"""L017 map(getattr, …)

kind: namespace
expect: AttributeError
"""

reached = list(map(getattr, [object], ["__subclasses__"]))
