"""L043 coroutine cr_frame

kind: namespace
expect: AttributeError
"""

async def f(): pass
c = f()
try:
    reached = c.cr_frame
finally:
    c.close()
