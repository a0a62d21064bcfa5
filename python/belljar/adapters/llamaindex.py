"""LlamaIndex: the function that a `CodeActAgent` has its code executed by."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Coroutine
from typing import Any

from belljar import Policy, SandboxConfig
from belljar.adapters._needed import needed
from belljar.adapters._runner import Functions, Runner, report

with needed("llama-index-core", "llama_index.core"):
    from llama_index.core.tools import FunctionTool

__all__ = ["code_function"]


def code_function(
    policy: Policy | SandboxConfig | None = None, *, tools: Functions = (), **options: Any
) -> Callable[[str], Coroutine[Any, Any, str]]:
    """A coroutine function that runs code in a belljar session and returns what a model is to read of it.

    >>> CodeActAgent(code_execute_fn=code_function(belljar.Policy(timeout=20), tools=tools), tools=tools, llm=llm)

    `tools` are the agent's tools, which its prompt tells the model about: functions or `FunctionTool`s. They run in this
    program. Cancelling a call interrupts the code. The session ends when the function goes. Other keyword arguments are those
    of `belljar.Sandbox`."""
    named = tools if hasattr(tools, "items") else {_name_of(tool): _function_of(tool) for tool in tools}
    runner = Runner(policy, named, **options)

    async def execute(code: str) -> str:
        """Runs Python code in a sandbox. Variables stay from one call to the next."""
        execution, remark = await runner.arun(code)
        return report(execution, remark)

    return execute


def _name_of(tool: Any) -> str:
    return str(tool.metadata.get_name() if isinstance(tool, FunctionTool) else tool.__name__)


def _function_of(tool: Any) -> Callable[..., Any]:
    """What does a tool's work, with the arguments that the program has fixed: code neither sees nor changes those."""
    if not isinstance(tool, FunctionTool):
        return tool  # type: ignore[no-any-return]
    function, fixed = tool.real_fn, dict(tool.partial_params)
    if not fixed:
        return function  # type: ignore[no-any-return]

    def call(*arguments: Any, **keywords: Any) -> Any:
        return function(*arguments, **{**keywords, **fixed})

    signature = inspect.signature(function)
    left = [parameter for name, parameter in signature.parameters.items() if name not in fixed]
    call.__signature__ = signature.replace(parameters=left)  # type: ignore[attr-defined]
    call.__doc__ = function.__doc__
    return call
