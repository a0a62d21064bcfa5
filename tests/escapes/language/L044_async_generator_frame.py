"""L044 asynchronous generator ag_frame

kind: namespace
expect: AttributeError
"""

async def f():
    yield
reached = f().ag_frame
