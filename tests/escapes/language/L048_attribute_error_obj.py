"""L048 AttributeError.obj leaks the raw object

kind: namespace
expect: AttributeError
"""

try:
    print.nothing
except AttributeError as error:
    reached = error.obj
