"""The official Python SDK 1.x against `belljar mcp`: most of the installed clients are of its time."""

from __future__ import annotations

import os

import anyio
from mcp import ClientSession, McpError, StdioServerParameters
from mcp.client.stdio import stdio_client

SERVER = StdioServerParameters(command=os.environ["BELLJAR"], args=["mcp"])


async def check_tools(client):
    assert len((await client.list_tools()).tools) == 10


async def check_ping(client):
    await client.send_ping()


async def check_call(client):
    result = await client.call_tool("run_python_code", {"python_code": "print('hi')\n6 * 7"})
    assert result.content[0].text == "hi\n42\n" and result.structuredContent["return_value"] == 42 and not result.isError


async def check_error(client):
    result = await client.call_tool("run_python_code", {"python_code": "1 / 0"})
    assert result.isError and "ZeroDivisionError" in result.content[0].text


async def check_unknown_tool(client):
    try:
        await client.call_tool("rm", {})
    except McpError as error:
        assert error.error.code == -32602
    else:
        raise AssertionError("an unknown tool was called")


async def check_session(client):
    session = (await client.call_tool("create_session", {})).structuredContent["session"]
    await client.call_tool("run_python_code", {"python_code": "x = 1", "session": session})
    await client.call_tool("write_file", {"session": session, "path": "a.txt", "text": "hello"})
    result = await client.call_tool("run_python_code", {"python_code": "x, open('a.txt').read()", "session": session})
    assert result.structuredContent["return_value"] == [1, "hello"]
    assert (await client.call_tool("read_file", {"session": session, "path": "a.txt"})).content[0].text == "hello"
    assert (await client.call_tool("end_session", {"session": session})).structuredContent["ended"]


async def check_progress(client):
    seen = []

    async def on_progress(progress, total, message):
        seen.append(message)

    code = "import time\nfor i in range(4): print('step', i, flush=True); time.sleep(0.4)"
    await client.call_tool("run_python_code", {"python_code": code}, progress_callback=on_progress)
    assert seen and seen[0].startswith("step")


async def check_resource(client):
    result = await client.call_tool("run_python_code", {"python_code": "print('x' * 100_000)"})
    link = next(block for block in result.content if block.type == "resource_link")
    assert (await client.read_resource(link.uri)).contents[0].text == "x" * 100_000 + "\n"


CHECKS = [value for name, value in list(globals().items()) if name.startswith("check_")]


async def main() -> int:
    failed = 0
    async with stdio_client(SERVER) as (read, write), ClientSession(read, write) as client:
        answer = await client.initialize()
        print(f"revision {answer.protocolVersion}")
        for check in CHECKS:
            try:
                await check(client)
            except Exception as error:
                failed += 1
                print(f"FAILED {check.__name__}: {type(error).__name__}: {error}")
    print(f"SDK 1.x: {len(CHECKS) - failed} passed, {failed} failed")
    return 1 if failed else 0


raise SystemExit(anyio.run(main))
