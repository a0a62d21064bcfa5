"""`belljar.adapters.llamaindex` against llama-index-core: a `CodeActAgent` whose model is a list of answers."""

import asyncio

import pytest

pytest.importorskip("llama_index.core")

import belljar
from belljar.adapters.llamaindex import code_function
from llama_index.core.agent.workflow import CodeActAgent
from llama_index.core.llms import ChatMessage, ChatResponse, CompletionResponse, CustomLLM, LLMMetadata
from llama_index.core.tools import FunctionTool

HEARD = []


class Scripted(CustomLLM):
    """A model that says what it was made to say."""

    answers: list[str]

    @property
    def metadata(self):
        return LLMMetadata(is_chat_model=True)

    def chat(self, messages, **others):
        HEARD.append("\n".join(str(message.content) for message in messages))
        return ChatResponse(message=ChatMessage(role="assistant", content=self.answers.pop(0)))

    async def achat(self, messages, **others):
        return self.chat(messages)

    def complete(self, prompt, **others):
        return CompletionResponse(text=self.answers.pop(0))

    def stream_complete(self, prompt, **others):
        raise NotImplementedError


def price(thing: str) -> float:
    """The price of a thing."""
    return {"tea": 3.5}[thing]


def run(*codes, tools=(), policy=None):
    HEARD.clear()
    llm = Scripted(answers=[*(f"<execute>\n{code}\n</execute>" for code in codes), "that is it"])

    async def main():
        agent = CodeActAgent(code_execute_fn=code_function(policy, tools=tools), tools=list(tools), llm=llm, streaming=False)
        return str(await agent.run("?"))

    assert asyncio.run(main()) == "that is it"
    return HEARD[1:]  # what the model heard after each code


@pytest.mark.parametrize("tool", [price, FunctionTool.from_defaults(price), FunctionTool.from_defaults(price, name="price")])
def test_an_agent_keeps_state_and_calls_its_tools(tool):
    _, heard = run("cost = price('tea')", "print('two cost', cost * 2)", tools=[tool])
    assert "two cost 7.0" in heard


def test_a_tool_that_is_awaited_here():
    async def slow(number: int) -> int:
        """A number."""
        await asyncio.sleep(0.01)
        return number + 1

    assert "got 3" in run("print('got', slow(2))", tools=[FunctionTool.from_defaults(async_fn=slow, name="slow")])[0]


def test_arguments_that_the_program_fixed_stay_fixed():
    def buy(thing: str, account: str) -> str:
        """Buys a thing."""
        return f"{thing} for {account}"

    tool = FunctionTool.from_defaults(buy, partial_params={"account": "ann"})
    first, second, third = run("print(buy('tea'))", "print(buy('tea', account='bob'))",
                               "import inspect\nprint('it is', inspect.signature(buy))", tools=[tool])  # fmt: skip
    assert "tea for ann" in first and "TypeError" in second and "ann" not in third.split("it is")[-1]


def test_the_model_reads_errors_and_refusals_and_goes_on():
    first, second, third = run("x = 5\n1 / 0", "open('/etc/shadow')", "print('x is', x)")
    assert "ZeroDivisionError" in first and "remedy" in second and "x is 5" in third


def test_after_a_limit_the_model_is_told_that_it_begins_anew():
    stays = "import time\nwhile True:\n    try: time.sleep(9)\n    except BaseException: pass"
    first, second = run(stays, "print('on', price('tea'))", tools=[price], policy=belljar.Policy(timeout=1))
    assert "TimeoutError" in first and "A new one was begun" in second and "on 3.5" in second


def test_cancelling_interrupts_and_keeps_the_session():
    async def main():
        execute = code_function()
        await execute("n = 1")
        task = asyncio.ensure_future(execute("while True: pass"))
        await asyncio.sleep(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return await execute("n")

    assert asyncio.run(main()) == "1"
