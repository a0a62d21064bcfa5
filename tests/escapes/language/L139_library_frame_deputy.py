"""L139 C functions called in a frame of abc, which sees what is hidden

kind: namespace
expect: nothing
features: random
"""

import random
found = []
names = map(getattr, [object], ["__subclasses__"])
class Evil:
    def __len__(self): return 1
    def __getitem__(self, i): raise IndexError
    __iter__ = staticmethod(names.__iter__)
    __class__ = property(found.extend)
try:
    random.sample(Evil(), 1)
except Exception:
    pass
reached = found and found[0]()
