import asyncio

import aiohttp
from aiohttp import web
from aiohttp.test_utils import make_mocked_request


async def handler(request):
    return web.json_response({"path": request.path})


async def main():
    async with aiohttp.ClientSession() as session:
        print(session.closed, (await handler(make_mocked_request("GET", "/x"))).text)


asyncio.run(main())
