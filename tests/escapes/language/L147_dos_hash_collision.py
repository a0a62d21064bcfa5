"""L147 integer hash collisions

kind: dos
expect: stopped or MemoryError
control: none
"""

m = 2 ** 61 - 1
d = {i * m: 0 for i in range(300000)}
