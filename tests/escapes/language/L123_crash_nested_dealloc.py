"""L123 deallocation of a deep chain

kind: crash
expect: nothing or crash
control: any
"""

x = None
for _ in range(10**6):
    x = [x]
del x
