"""L053 __builtins__ and __dict__ of an allowed module

kind: namespace
expect: AttributeError
features: random
"""

import random
for name in ("__builtins__", "__dict__"):
    try:
        reached = getattr(random, name)
    except AttributeError:
        pass
if "reached" not in globals():
    raise AttributeError("neither")
