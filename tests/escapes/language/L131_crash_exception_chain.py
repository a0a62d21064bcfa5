"""L131 a very long __context__ chain

kind: crash
expect: ValueError
control: any
"""

error = None
for i in range(5000):
    try:
        try:
            raise ValueError(i) from error
        except ValueError as caught:
            error = caught
    finally:
        pass
raise error
