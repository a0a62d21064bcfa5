"""smolagents: a `PythonExecutor` whose code runs in a sandbox. The tools stay in this program."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from belljar import Policy, Sandbox, SandboxConfig
from belljar.adapters._needed import needed
from belljar.adapters._runner import Runner, report

with needed("smolagents", "smolagents"):
    from smolagents.local_python_executor import CodeOutput, PythonExecutor

__all__ = ["SandboxPythonExecutor"]

_FINAL = """
def final_answer(*arguments, **keywords):
    class FinalAnswer(BaseException): pass  # passes `except Exception`
    _belljar_final_answer(*arguments, **keywords)
    raise FinalAnswer
"""


class SandboxPythonExecutor(PythonExecutor):
    """Runs the code of a smolagents `CodeAgent` in a belljar session.

    >>> agent = CodeAgent(tools=[...], model=model, executor=SandboxPythonExecutor(belljar.Policy(timeout=20)))

    Tools and managed agents are called in this program, with copies of what the code gives them; their results go back by
    copy. The code sees the session's modules, whatever `additional_authorized_imports` says. The keyword arguments are those
    of `belljar.Sandbox`."""

    def __init__(self, policy: Policy | SandboxConfig | None = None, **options: Any) -> None:
        self._runner = Runner(policy, **options)
        self._runner.prepare = lambda sandbox: self._send(sandbox, self._tools, self._variables)
        self._tools: dict[str, Any] = {}
        self._variables: dict[str, Any] = {}
        self._answers: list[Any] = []
        self.state: dict[str, Any] = {"_print_outputs": ""}  # the agent looks for the output of failed code here

    def send_tools(self, tools: Mapping[str, Any]) -> None:
        """Lets the code call these by name."""
        self._tools.update(tools)
        self._runner.do(lambda sandbox: self._send(sandbox, tools, {}))

    def send_variables(self, variables: Mapping[str, Any]) -> None:
        """Sets variables of the session, by copy."""
        self._runner.do(lambda sandbox: self._send(sandbox, {}, variables))
        self._variables.update(variables)

    def __call__(self, code_action: str) -> CodeOutput:
        self._answers.clear()
        execution, remark = self._runner.run(code_action)
        self.state["_print_outputs"] = logs = "\n".join(filter(None, [remark, execution.stdout + execution.stderr]))
        if self._answers:
            return CodeOutput(self._answers[0], logs, True)
        if execution.error is not None:
            raise RuntimeError(report(execution, remark))
        return CodeOutput(execution.value, logs, False)

    def cleanup(self) -> None:
        """Ends the session: `agent.cleanup()` calls it."""
        self._runner.close()

    def _send(self, sandbox: Sandbox, tools: Mapping[str, Any], variables: Mapping[str, Any]) -> None:
        for name, tool in tools.items():
            is_final = name == "final_answer"
            sandbox.expose(_called(tool, self._answers if is_final else None), "_belljar_final_answer" if is_final else name)
            if is_final:
                sandbox.run_code(_FINAL)
        for name, value in variables.items():
            sandbox[name] = value


def _called(tool: Callable[..., Any], answers: list[Any] | None) -> Callable[..., Any]:
    """A tool as a function, with the signature of what it does. What a final answer comes to is kept."""

    def function(*arguments: Any, **keywords: Any) -> Any:
        keywords.pop("sanitize_inputs_outputs", None)  # what smolagents says to its tools, not what code may say
        value = tool(*arguments, **keywords)
        if answers is None:
            return value
        answers.append(value)
        return None

    function.__doc__ = getattr(tool, "description", None) or inspect.getdoc(tool)
    try:
        signature = inspect.signature(getattr(tool, "forward", tool))
    except (TypeError, ValueError):
        return function
    # What `@tool` makes has a `self` in its signature, though it is no method.
    left = [parameter for name, parameter in signature.parameters.items() if name != "self"]
    function.__signature__ = signature.replace(parameters=left)  # type: ignore[attr-defined]
    return function
