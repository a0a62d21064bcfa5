"""L116 memoryview of shared buffers

kind: mutation
expect: accepted
"""

reached = bytes(memoryview(bytearray(b"x"))) == b"x"
