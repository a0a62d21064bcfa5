"""L127 io.BufferedReader hands its buffer to readinto

kind: crash
expect: ImportError
"""

import io
reached = io.RawIOBase
