"""L113 asynchronous generator driven by hand

kind: namespace
expect: accepted
"""

async def numbers():
    yield 1
async def collect():
    return [x async for x in numbers()]
try:
    collect().send(None)
except StopIteration as end:
    reached = end.value == [1]
