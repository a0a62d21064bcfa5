"""`belljar.adapters.fastmcp` against FastMCP: a server in code mode, and a client."""

import asyncio

import pytest

fastmcp = pytest.importorskip("fastmcp")
code_mode = pytest.importorskip("fastmcp.experimental.transforms.code_mode")

import belljar
from belljar.adapters.fastmcp import BelljarSandboxProvider


def serve(code, policy=None):
    """What the server's `execute` tool says of code, and how many of its calls were at work at a time."""
    server = fastmcp.FastMCP("t", transforms=[code_mode.CodeMode(sandbox_provider=BelljarSandboxProvider(policy))])

    @server.tool
    async def add(a: int, b: int) -> int:
        """Adds."""
        return a + b

    async def main():
        async with fastmcp.Client(server) as client:
            assert "execute" in [tool.name for tool in await client.list_tools()]
            return await client.call_tool("execute", {"code": code}, raise_on_error=False)

    return asyncio.run(main())


def text(result):
    return "\n".join(block.text for block in result.content)


@pytest.mark.parametrize(
    ("code", "answer"),
    [
        ("r = await call_tool('add', {'a': 1, 'b': 2})\nreturn r", "3"),
        (
            "import asyncio\nr = await asyncio.gather(*(call_tool('add', {'a': n, 'b': n}) for n in range(3)))\nreturn len(r)",
            "3",
        ),
        ("def double(n):\n    return n * 2\nreturn double(21)", "42"),
        ("return '''a\n  b'''", "a\n  b"),
        ("for n in range(3):\n    if n == 1:\n        return {'n': n}", '"n":1'),
    ],
)
def test_code_calls_the_tools_of_the_server_and_returns(code, answer):
    result = serve(code)
    assert not result.is_error and answer in text(result).replace(": ", ":")


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("return 1 / 0", "division by zero"),
        ("open('/etc/shadow')", "/etc/shadow"),
        ("await call_tool('add', {'a': 'x', 'b': 2})", "call_tool('add') failed"),
        ("await call_tool('nobody', {})", "nobody"),
        ("return 1 +* 2", "invalid syntax"),
    ],
)
def test_what_fails_is_an_error_with_its_text(code, words):
    result = serve(code)
    assert result.is_error and words in text(result)


def test_a_limit_is_an_error_and_the_server_goes_on():
    assert "time" in text(serve("while True: pass", belljar.Policy(timeout=1)))


def run(code, **arguments):
    return asyncio.run(BelljarSandboxProvider().run(code, **arguments))


def test_inputs_and_plain_functions():
    assert run("return await f(x)", inputs={"x": 20}, external_functions={"f": lambda n: n + 1}) == 21
    assert run("x + 1", inputs={"x": 20}) == 21 and run("") is None and isinstance(run("object()"), str)


def test_exceptions_of_functions_are_caught_as_their_builtin_types():
    async def f():
        raise KeyError("no such thing")

    assert (
        run("try:\n    await f()\nexcept KeyError as error:\n    return str(error)", external_functions={"f": f})
        == "'no such thing'"
    )


def test_each_run_has_a_guest_of_its_own_and_cancelling_ends_it():
    async def main():
        provider = BelljarSandboxProvider()
        await provider.run("import builtins; builtins.left = 1")
        began = asyncio.Event()

        async def begin():
            began.set()

        task = asyncio.ensure_future(provider.run("await begin()\nwhile True: pass", external_functions={"begin": begin}))
        await began.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return await provider.run("import builtins; return hasattr(builtins, 'left')")

    assert asyncio.run(main()) is False
