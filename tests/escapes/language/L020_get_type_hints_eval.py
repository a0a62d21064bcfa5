"""L020 typing.get_type_hints evaluates strings

kind: namespace
expect: ImportError
control: error
"""

from typing import get_type_hints
def f(x: "__import__('os')"): pass
reached = get_type_hints(f)
