"""LangChain and LangGraph: a tool that runs Python in a sandbox."""

from __future__ import annotations

from typing import Any

from belljar import Execution, Policy, SandboxConfig
from belljar.adapters._needed import needed
from belljar.adapters._runner import Functions, Runner, report

with needed("langchain-core", "langchain_core"):
    from langchain_core.tools import BaseTool, StructuredTool
    from pydantic import BaseModel, Field

__all__ = ["python_tool"]

_TEXT = """Runs Python code in a sandbox and returns what it printed, the value of its last expression, and its error.
Variables, imports and files stay from one call to the next. There is no network, and no file of the host that was not
granted."""


class _Arguments(BaseModel):
    code: str = Field(description="The Python code to run.")


def python_tool(
    policy: Policy | SandboxConfig | None = None,
    *,
    functions: Functions = (),
    name: str = "python",
    description: str = _TEXT,
    **options: Any,
) -> BaseTool:
    """A LangChain tool that runs Python in a belljar session.

    >>> python_tool(belljar.Policy(timeout=20)).invoke({"code": "6 * 7"})
    '42'

    `functions` are functions of this program that the code may call: an iterable, or a mapping of names. The tool's artifact
    is the `Execution`, with results and files. The session ends when the tool goes. Other keyword arguments are those of
    `belljar.Sandbox`."""
    runner = Runner(policy, functions, **options)

    def run(code: str) -> tuple[str, Execution]:
        execution, remark = runner.run(code)
        return report(execution, remark), execution

    async def arun(code: str) -> tuple[str, Execution]:
        execution, remark = await runner.arun(code)
        return report(execution, remark), execution

    return StructuredTool.from_function(run, arun, name=name, description=description, args_schema=_Arguments,
                                        response_format="content_and_artifact")  # fmt: skip
