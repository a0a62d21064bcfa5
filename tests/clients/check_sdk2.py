"""The official Python SDK 2.x, in each of its modes, against `belljar mcp`. The SDK checks structured content by the schemas."""

from __future__ import annotations

import base64
import os
import time

import anyio
from mcp import Client, MCPError, StdioServerParameters

SERVER = StdioServerParameters(command=os.environ["BELLJAR"], args=["mcp", "--idle", "3"])
FIGURE = "class P:\n  def _repr_png_(self): return b'\\x89PNG\\r\\n\\x1a\\n' + bytes(20)\nP()"


async def check_tools(client):
    tools = (await client.list_tools()).tools
    assert len(tools) == 10 and tools[0].name == "run_python_code" and "No network" in tools[0].description


async def check_call(client):
    result = await client.call_tool("run_python_code", {"python_code": "print('hi')\n6 * 7"})
    assert result.content[0].text == "hi\n42\n" and not result.is_error
    assert result.structured_content["return_value"] == 42 and result.structured_content["status"] == "success"


async def check_image(client):
    result = await client.call_tool("run_python_code", {"python_code": FIGURE})
    image = next(block for block in result.content if block.type == "image")
    assert image.mime_type == "image/png" and base64.b64decode(image.data).startswith(b"\x89PNG")


async def check_every_structured_content(client):
    """The SDK raises where it does not fit its schema."""
    session = (await client.call_tool("create_session", {})).structured_content["session"]
    for name, arguments in [
        ("write_file", {"session": session, "path": "a", "text": "x"}), ("read_file", {"session": session, "path": "a"}),
        ("list_files", {"session": session}), ("list_packages", {}), ("interrupt", {"session": session}),
        ("reset_session", {"session": session}), ("run_python_code", {"code": "1 / 0"}), ("run_python_code", {"code": "open('/etc/shadow')"}),
        ("end_session", {"session": session}),
    ]:  # fmt: skip
        assert (await client.call_tool(name, arguments)).structured_content is not None, name


async def check_error(client):
    result = await client.call_tool("run_python_code", {"python_code": "import pandsa"})
    assert result.is_error and "Nothing can be installed" in result.content[0].text


async def check_unknown_tool(client):
    try:
        await client.call_tool("rm", {})
    except MCPError as error:
        assert error.error.code == -32602
    else:
        raise AssertionError("an unknown tool was called")


async def check_progress(client):
    seen = []

    async def on_progress(progress, total, message):
        seen.append((progress, message))

    code = "import time\nfor i in range(4): print('step', i, flush=True); time.sleep(0.4)"
    await client.call_tool("run_python_code", {"python_code": code}, progress_callback=on_progress)
    assert seen and seen == sorted(seen) and seen[0][1].startswith("step"), seen


async def check_cancellation(client):
    session = (await client.call_tool("create_session", {})).structured_content["session"]
    await client.call_tool("run_python_code", {"python_code": "x = 1", "session": session})
    with anyio.move_on_after(0.5):
        await client.call_tool("run_python_code", {"python_code": "while True: pass", "session": session})
        raise AssertionError("it came back")
    start = time.monotonic()
    result = await client.call_tool("run_python_code", {"python_code": "x", "session": session})
    assert result.structured_content["return_value"] == 1 and time.monotonic() - start < 20


async def check_side_by_side(client):
    async def slow():
        result = await client.call_tool("run_python_code", {"python_code": "import time; time.sleep(2); 1"})
        assert result.structured_content["return_value"] == 1

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(slow)
        await anyio.sleep(0.3)
        result = await client.call_tool("run_python_code", {"python_code": "2"})
        assert result.structured_content["return_value"] == 2


async def check_sessions_apart(client):
    one, two = [(await client.call_tool("create_session", {})).structured_content["session"] for _ in range(2)]
    await client.call_tool("run_python_code", {"python_code": "x = 1", "session": one})
    assert (await client.call_tool("run_python_code", {"python_code": "x", "session": two})).is_error
    await client.call_tool("end_session", {"session": one})
    result = await client.call_tool("run_python_code", {"python_code": "x", "session": one})
    assert result.is_error and "ended by end_session" in result.content[0].text
    await anyio.sleep(5)
    result = await client.call_tool("run_python_code", {"python_code": "1", "session": two})
    assert result.is_error and "it was not used for 3 s" in result.content[0].text


async def check_resource(client):
    result = await client.call_tool("run_python_code", {"python_code": "print('x' * 100_000)"})
    link = next(block for block in result.content if block.type == "resource_link")
    contents = (await client.read_resource(str(link.uri))).contents
    assert contents[0].text == "x" * 100_000 + "\n"
    assert str(link.uri) in [str(resource.uri) for resource in (await client.list_resources()).resources]


CHECKS = [value for name, value in list(globals().items()) if name.startswith("check_")]


async def main() -> int:
    failed = 0
    for mode in ("auto", "legacy", "2026-07-28"):
        async with Client(SERVER, mode=mode) as client:
            assert client.protocol_version == ("2025-11-25" if mode == "legacy" else "2026-07-28"), client.protocol_version
            for check in CHECKS:
                try:
                    await check(client)
                except Exception as error:
                    failed += 1
                    print(f"FAILED {mode} {check.__name__}: {type(error).__name__}: {error}")
        print(f"{mode}: {len(CHECKS)} checks")
    print(f"SDK 2.x: {3 * len(CHECKS) - failed} passed, {failed} failed")
    return 1 if failed else 0


raise SystemExit(anyio.run(main))
