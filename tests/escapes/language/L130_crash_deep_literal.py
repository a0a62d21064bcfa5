"""L130 deeply nested list: repr and ==

kind: crash
expect: RecursionError
control: any
"""

x = []
for _ in range(100000):
    x = [x]
repr(x)
