"""L155 huge value

kind: dos
expect: MemoryError
control: none
"""

x = ["x" * 1000] * (10 ** 12)
