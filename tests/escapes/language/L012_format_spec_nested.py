"""L012 nested replacement field in a format spec

kind: namespace
expect: AttributeError
control: error
"""

reached = "{0:{1.__class__.__name__}}".format("x", 1) if False else "{0!r:{1.__class__}}".format("x", "5")
