"""What arrives from a sandbox that is not a builtin or standard library value: see belljar/_shared/values.py."""

from belljar._shared.values import Opaque, Record

__all__ = ["Opaque", "Record"]

for _kind in (Record, Opaque):
    _kind.__module__ = __name__  # the name under which programs have pickled them
