"""L144 huge allocation

kind: dos
expect: MemoryError
control: none
"""

x = "x" * (1 << 40)
