"""L025 functools.update_wrapper copies hidden attributes by name, granted

kind: namespace
expect: nothing
allow: functools update_wrapper
"""

from functools import update_wrapper
class Box: pass
box = update_wrapper(Box(), len, assigned=("__self__",), updated=())
reached = getattr(box, "__self__", None)
