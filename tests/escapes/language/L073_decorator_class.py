"""L073 decorators run functions

kind: namespace
expect: AttributeError
control: error
"""

@object.__subclasses__
class reached: pass
