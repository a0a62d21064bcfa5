"""FastMCP: the sandbox of its "code mode", in which a model writes code that calls the server's tools."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from belljar import AsyncSandbox, Opaque, Policy, SandboxConfig

__all__ = ["BelljarSandboxProvider"]


class BelljarSandboxProvider:
    """A `SandboxProvider`: each piece of code has a fresh guest.

    >>> FastMCP("server", transforms=[CodeMode(sandbox_provider=BelljarSandboxProvider(belljar.Policy(timeout=20)))])

    The code may `await` the external functions, side by side too (`asyncio.gather`), and `return` a value. They run in this
    program, on the loop of the server, with copies. What the code raises is raised as a `belljar.GuestError`, which is also
    the builtin exception. Other keyword arguments are those of `belljar.AsyncSandbox`."""

    def __init__(self, policy: Policy | SandboxConfig | None = None, **options: Any) -> None:
        self._policy = policy
        self._options = options

    async def run(
        self,
        code: str,
        *,
        inputs: Mapping[str, Any] | None = None,
        external_functions: Mapping[str, Callable[..., Any]] | None = None,
    ) -> Any:
        """Runs code. Returns what it returned, or the value of its last expression."""
        functions = external_functions or {}
        async with AsyncSandbox(self._policy, **self._options) as sandbox:
            for name, function in functions.items():
                await sandbox.expose(_awaited(function), name)
            value = await sandbox.call(_run, code, dict(inputs or {}), list(functions))
        return value.repr if isinstance(value, Opaque) else value


def _awaited(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function as the server's loop runs it, whatever it gives to wait for."""

    async def call(*arguments: Any, **keywords: Any) -> Any:
        value = function(*arguments, **keywords)
        return await value if hasattr(value, "__await__") else value

    return call


def _run(code: str, inputs: dict[str, Any], functions: list[str]) -> Any:
    """Runs in the sandbox: the code is the body of a coroutine function, whatever lines its texts have."""
    import __main__
    import ast
    import asyncio
    import linecache

    names = vars(__main__)
    names.update(inputs)
    for name in functions:
        names[name] = lambda *arguments, _plain=names[name], **keywords: asyncio.to_thread(_plain, *arguments, **keywords)
    tree = ast.parse(code, "<code>")
    body: list[ast.stmt] = tree.body or [ast.Pass()]
    if isinstance(body[-1], ast.Expr):
        body[-1] = ast.copy_location(ast.Return(body[-1].value), body[-1])
    shell = ast.parse("async def _belljar_main(): pass").body[0]
    assert isinstance(shell, ast.AsyncFunctionDef)
    shell.body = body
    linecache.cache["<code>"] = (len(code), None, code.splitlines(keepends=True), "<code>")
    exec(compile(ast.fix_missing_locations(ast.Module([shell], [])), "<code>", "exec"), names)
    return asyncio.run(names.pop("_belljar_main")())
