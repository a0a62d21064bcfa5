"""`belljar.adapters.smolagents` against smolagents: a `CodeAgent` whose model is a list of answers."""

import pytest

smolagents = pytest.importorskip("smolagents")

import belljar
from belljar.adapters.smolagents import SandboxPythonExecutor
from smolagents.models import ChatMessage, MessageRole


class Scripted(smolagents.Model):
    """A model that says what it was made to say, one text after the other. It keeps what it was told."""

    def __init__(self, *codes):
        super().__init__()
        self.codes = list(codes)
        self.heard = []

    def generate(self, messages, **others):
        self.heard.append("\n".join(str(message.content) for message in messages))
        return ChatMessage(role=MessageRole.ASSISTANT, content=f"Thought: next\n<code>\n{self.codes.pop(0)}\n</code>")


class Lookup(smolagents.Tool):
    name = "lookup"
    description = "The price of a thing."
    inputs = {"thing": {"type": "string", "description": "its name"}}
    output_type = "number"

    def forward(self, thing: str) -> float:
        return {"tea": 3.5}[thing]


@smolagents.tool
def add(left: int, right: int = 1) -> int:
    """Adds.

    Args:
        left: a number
        right: another
    """
    return left + right


def agent(*codes, tools=(), **options):
    model = Scripted(*codes)
    executor = SandboxPythonExecutor(belljar.Policy(timeout=options.pop("timeout", 30)), **options)
    return smolagents.CodeAgent(tools=list(tools), model=model, executor=executor, verbosity_level=0, max_steps=6), model


def test_an_agent_keeps_state_calls_tools_here_and_answers():
    with agent("price = lookup('tea')\nprint('price', price)", "final_answer(price * 2)", tools=[Lookup()])[0] as made:
        assert made.run("what do two teas cost?") == 7.0
        assert "price 3.5" in made.memory.steps[1].observations


@pytest.mark.parametrize(("call", "value"), [("add(1, 2)", 3), ("add(1)", 2), ("add(right=5, left=1)", 6)])
def test_a_decorated_function_is_called_as_it_is_written(call, value):
    assert agent(f"final_answer({call})", tools=[add])[0].run("?") == value


def test_a_tool_keeps_its_name_parameters_and_text():
    made, _ = agent("import inspect\nfinal_answer([list(inspect.signature(lookup).parameters), lookup.__doc__])", tools=[Lookup()])
    assert made.run("?") == [["thing"], "The price of a thing."]


def test_a_final_answer_ends_the_code_even_within_try():
    made, _ = agent("try:\n    final_answer(1)\nexcept Exception: pass\nfinal_answer(2)")
    assert made.run("?") == 1


def test_variables_of_the_caller_are_there():
    made, _ = agent("final_answer(sum(numbers))")
    assert made.run("?", additional_args={"numbers": [1, 2, 3]}) == 6


def test_the_model_reads_its_error_and_output_and_goes_on():
    made, model = agent("x = 5\nprint('before')\n1 / 0", "final_answer(x)")
    assert made.run("?") == 5
    assert "ZeroDivisionError" in model.heard[1] and "before" in model.heard[1]


def test_a_file_of_the_host_is_refused_with_the_remedy_and_one_of_its_own_is_not():
    made, model = agent("open('/etc/shadow')", "open('a.txt', 'w').write('mine')\nfinal_answer(open('a.txt').read())")
    assert made.run("?") == "mine"
    assert "/etc/shadow" in model.heard[1] and "remedy" in model.heard[1]


def test_a_time_limit_is_told_and_the_agent_goes_on_with_its_names():
    made, model = agent("x = 2\nwhile True: pass", "final_answer(lookup('tea') + x)", tools=[Lookup()], timeout=1)
    assert made.run("?") == 5.5
    assert "TimeoutError" in model.heard[1] and "the session goes on" in model.heard[1]


def test_who_does_not_yield_is_ended_and_the_agent_goes_on_with_its_tools():
    stays = "import time\nwhile True:\n    try: time.sleep(9)\n    except BaseException: pass"
    made, model = agent(stays, "y = lookup('tea')", "final_answer(y)", tools=[Lookup()], timeout=1)
    assert made.run("?") == 3.5
    assert "TimeoutError" in model.heard[1] and "A new one was begun" in model.heard[2]


def test_an_error_of_a_tool_is_its_type_and_text():
    made, _ = agent("try:\n    lookup('cake')\nexcept KeyError as error:\n    final_answer(str(error))", tools=[Lookup()])
    assert made.run("?") == "'cake'"


def test_another_run_of_the_agent_begins_after_the_session_ended():
    made, _ = agent("import os\nos._exit(1)", "final_answer(1)", "final_answer(2)")
    assert (made.run("?"), made.run("again")) == (1, 2)
    made.cleanup()
