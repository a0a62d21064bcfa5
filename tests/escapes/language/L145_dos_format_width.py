"""L145 width and precision in formats

kind: dos
expect: MemoryError or ValueError or stopped
control: none
"""

"%999999999999d" % 1
