"""L122 deeply nested iterators overflow the C stack

kind: crash
expect: RecursionError
control: any
"""

i = iter(())
for _ in range(10**6):
    i = filter(int, i)
list(i)
del i
