"""`belljar.adapters.langchain` against langchain-core: what a model's tool call comes to."""

import asyncio

import pytest

tools = pytest.importorskip("langchain_core.tools")

import belljar
from belljar.adapters.langchain import python_tool


def test_it_is_a_tool_with_a_schema():
    tool = python_tool()
    assert isinstance(tool, tools.BaseTool) and tool.name == "python" and "no network" in tool.description.lower()
    assert tool.tool_call_schema.model_json_schema()["required"] == ["code"]


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("6 * 7", "42"),
        ("print('hi')\n1 + 1", "hi\n2"),
        ("x = 1", "(no output)"),
        ("import sys; print('oops', file=sys.stderr)", "oops"),
        ("raise SystemExit(3)", "SystemExit: 3"),
    ],
)
def test_what_a_call_returns(code, text):
    assert python_tool().invoke({"code": code}) == text


def test_state_stays_and_an_error_has_its_traceback():
    tool = python_tool()
    tool.invoke({"code": "def half(n):\n    return 1 / n"})
    text = tool.invoke({"code": "half(0)"})
    assert text.startswith("Traceback") and text.endswith("ZeroDivisionError: division by zero")


def test_a_tool_call_has_an_artifact():
    call = {"type": "tool_call", "id": "1", "name": "python", "args": {"code": "[1, 2]"}}
    message = python_tool().invoke(call)
    assert message.content == "[1, 2]" and message.tool_call_id == "1"
    assert message.artifact.value == [1, 2] and message.artifact.verdict == "ok"


def test_functions_of_the_program():
    def price(thing: str) -> float:
        return {"tea": 3.5}[thing]

    assert python_tool(functions=[price]).invoke({"code": "price('tea') * 2"}) == "7.0"
    assert python_tool(functions={"cost": price}).invoke({"code": "cost('tea')"}) == "3.5"


def test_refusals_name_the_remedy_and_what_is_granted_is_read(tmp_path):
    (tmp_path / "a.txt").write_text("granted")
    for folder in [tmp_path, *tmp_path.parents[:2]]:
        folder.chmod(0o755)
    code = f"print(open({str(tmp_path / 'a.txt')!r}).read())"
    assert "remedy" in python_tool().invoke({"code": code})
    assert python_tool(belljar.Policy(read=[tmp_path])).invoke({"code": code}) == "granted"


def test_awaited_calls_one_after_the_other_and_cancelled():
    async def main():
        tool = python_tool()
        await tool.ainvoke({"code": "n = 0"})
        await asyncio.gather(*(tool.ainvoke({"code": "n += 1"}) for _ in range(4)))
        task = asyncio.ensure_future(tool.ainvoke({"code": "print('in')\nwhile True: pass"}))
        await asyncio.sleep(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return await tool.ainvoke({"code": "n"})

    assert asyncio.run(main()) == "4"


def test_after_a_crash_the_next_call_says_that_it_begins_anew():
    tool = python_tool()
    assert "exit" in tool.invoke({"code": "import os; os._exit(3)"}).lower()
    assert tool.invoke({"code": "5"}).endswith("files of earlier code are gone.\n5")
