"""The table of claims: every face, under every kind of policy, with every verb. A cell works, with an assertion on what comes, or
is refused with a sentence that says what to write instead. Nothing ends in a bare TypeError, AttributeError or KeyError."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import tempfile
from collections.abc import Callable
from typing import Any

import pytest

import belljar
from belljar import AsyncSandbox, Execution, Output, Policy, Result, Sandbox, SandboxConfig, SandboxExecutor, Template, pysandbox


FEATURES = ("stdout", "math")
POLICIES: dict[str, Callable[[], Any]] = {
    "Policy": lambda: Policy(timeout=60),
    "Policy(feature)": lambda: Policy(timeout=60, feature=list(FEATURES)),
    "SandboxConfig": lambda: pysandbox.SandboxConfig(*FEATURES, timeout=60),
    "restricted": lambda: SandboxConfig(*FEATURES, timeout=60, restricted=True),
}


class Refused(Exception):
    """A cell that is refused; its words have to name what to write instead."""


def triple(number: int) -> int:
    return number * 3


def refusal(call: Callable[[], Any], kinds: tuple[type[Exception], ...] = (TypeError, AttributeError, belljar.SandboxError)) -> Any:
    """What it answers; `Refused` with the sentence if it is refused."""
    try:
        return call()
    except kinds as error:
        raise Refused(str(error)) from error


# ---- Faces that run one program ------------------------------------------------------------------------------------


class Once:
    """run, arun and Template.run."""

    def __init__(self, policy: Any) -> None:
        self.policy = policy

    def run(self, code: Any, **keywords: Any) -> Execution:
        return belljar.run(code, self.policy, **keywords)

    def close(self) -> None:
        pass

    def run_code(self) -> None:
        assert self.run("6 * 7").value == 42

    def stream(self) -> None:
        heard: list[str] = []
        self.run("print('a')", on_stdout=heard.append)
        assert "".join(heard) == "a\n"

    def on_result(self) -> None:
        shown: list[Result] = []
        assert self.run("6 * 7", on_result=shown.append).text == "42"
        assert [(result.text, result.is_main_result) for result in shown] == [("42", True)]

    def files(self) -> None:
        assert self.run("6 * 7", files={"in.txt": b"1 2"}).value == 42

    def call(self) -> None:
        refusal(lambda: self.run(triple))

    def template(self) -> None:
        with Template(self.policy) as template:
            assert self.by_template(template).value == 42
            refusal(lambda: self.run("1", template=template))

    def by_template(self, template: Template) -> Execution:
        return belljar.run("6 * 7", template=template)

    def keyword(self, name: str) -> None:
        refusal(lambda: self.run("1", **{name: None}))

    def create_callback(self) -> None:
        self.keyword("create_callback")

    def execute(self) -> None:
        self.keyword("globals")

    def variables(self) -> None:
        self.keyword("variables")

    def expose(self) -> None:
        self.keyword("expose")

    def fork(self) -> None:
        self.keyword("fork")

    def interrupt(self) -> None:
        self.keyword("interrupt")

    def context(self) -> None:
        self.keyword("context")

    def export(self) -> None:
        self.keyword("export")

    def freeze(self) -> None:
        self.keyword("freeze")

    def usage(self) -> None:
        self.keyword("usage")


class AsyncOnce(Once):
    def run(self, code: Any, **keywords: Any) -> Execution:
        return asyncio.run(belljar.arun(code, self.policy, **keywords))

    def by_template(self, template: Template) -> Execution:
        return asyncio.run(belljar.arun("6 * 7", template=template))


class TemplateOnce(Once):
    def __init__(self, policy: Any) -> None:
        super().__init__(policy)
        self.made = Template(policy)

    def close(self) -> None:
        self.made.close()

    def run(self, code: Any, **keywords: Any) -> Execution:
        return self.made.run(code, **keywords)

    def by_template(self, template: Template) -> Execution:
        return template.run("6 * 7")

    def execute(self) -> None:
        refusal(lambda: self.made.execute("1"))  # type: ignore[attr-defined]

    def fork(self) -> None:
        refusal(lambda: self.made.fork())  # type: ignore[attr-defined]


# ---- Sessions ------------------------------------------------------------------------------------------------------


class Session:
    """Sandbox."""

    def __init__(self, policy: Any) -> None:
        self.policy = policy
        self.made = self.make(policy)

    def make(self, policy: Any) -> Sandbox:
        return Sandbox(policy)

    def close(self) -> None:
        self.made.close()

    def run_code(self) -> None:
        self.made.run_code("x = 6")
        assert self.made.run_code("x * 7").value == 42

    def stream(self) -> None:
        events = list(self.made.stream("print('a'); 6 * 7"))
        assert [type(event) for event in events] == [Output, Result, Execution] and events[-1].value == 42

    def on_result(self) -> None:
        shown: list[Result] = []
        assert self.made.run_code("6 * 7", on_result=shown.append).text == "42"
        assert [(result.text, result.is_main_result) for result in shown] == [("42", True)]

    def execute(self) -> None:
        names = {"x": 6}
        assert self.made.execute("y = x * 7", names).verdict == "ok"
        assert names == {"x": 6, "y": 42}

    def call(self) -> None:
        assert (self.made.call(triple, 14), self.made.call(pow, 2, 3)) == (42, 8)

    def create_callback(self) -> None:
        assert self.made.create_callback(triple, 14)() == 42

    def variables(self) -> None:
        self.made["x"] = [1, 2]
        assert self.made["x"] == [1, 2] and "x" in self.made and "x" in list(self.made)
        del self.made["x"]
        assert "x" not in self.made

    def files(self) -> None:
        self.made.files["a.txt"] = b"1 2"
        assert self.made.files["a.txt"] == b"1 2"

    def expose(self) -> None:
        self.made.expose(triple)
        assert self.made.run_code("triple(14)").value == 42

    def fork(self) -> None:
        self.made.run_code("x = 6")
        with self.made.fork() as twin:
            self.made.run_code("x = 1")
            assert twin.run_code("x * 7").value == 42

    def interrupt(self) -> None:
        execution = self.made.run_code("print(1)\nwhile True: pass", on_stdout=lambda text: self.made.interrupt())
        assert execution.error is not None and execution.error.name == "KeyboardInterrupt"
        assert self.made.run_code("6 * 7").value == 42

    def context(self) -> None:
        other = self.made.context("other")
        self.made["x"], other["x"] = 1, 2
        assert self.made.run_code("x").value == 1 and other.run_code("x").value == 2

    def export(self) -> None:
        self.made["x"] = [1, 2]
        with tempfile.TemporaryDirectory() as folder:
            assert self.made.export(folder + "/session") == {}
            with type(self.made).load(folder + "/session", self.policy) as again:
                assert again["x"] == [1, 2]

    def freeze(self) -> None:
        self.made.freeze()
        with pytest.raises(belljar.SandboxError, match="thaw"):
            self.made.run_code("1")
        self.made.thaw()
        assert self.made.run_code("6 * 7").value == 42

    def usage(self) -> None:
        self.made.run_code("6 * 7")
        assert self.made.usage().peak_bytes > 1 << 20

    def template(self) -> None:
        with Template(self.policy) as template:
            with Sandbox(template=template) as sandbox:
                assert sandbox.run_code("6 * 7").value == 42
            refusal(lambda: Sandbox(self.policy, template=template))


class FromTemplate(Session):
    """Template(...).sandbox()."""

    def make(self, policy: Any) -> Sandbox:
        self.source = Template(policy)
        return self.source.sandbox()

    def close(self) -> None:
        self.made.close()
        self.source.close()


class AsyncSession:
    """AsyncSandbox. Each verb is a coroutine."""

    def __init__(self, policy: Any) -> None:
        self.policy = policy
        self.made = AsyncSandbox(policy)

    def close(self) -> None:
        pass  # in the cell's loop

    async def run_code(self) -> None:
        await self.made.run_code("x = 6")
        assert (await self.made.run_code("x * 7")).value == 42

    async def stream(self) -> None:
        events = [event async for event in self.made.stream("print('a'); 6 * 7")]
        assert [type(event) for event in events] == [Output, Result, Execution]
        assert events[-1].value == 42  # type: ignore[union-attr]

    async def on_result(self) -> None:
        shown: list[Result] = []
        assert (await self.made.run_code("6 * 7", on_result=shown.append)).text == "42"
        assert [(result.text, result.is_main_result) for result in shown] == [("42", True)]

    async def execute(self) -> None:
        names = {"x": 6}
        assert (await self.made.execute("y = x * 7", names)).verdict == "ok"
        assert names == {"x": 6, "y": 42}

    async def call(self) -> None:
        assert (await self.made.call(triple, 14), await self.made.call(pow, 2, 3)) == (42, 8)

    async def create_callback(self) -> None:
        assert await self.made.create_callback(triple, 14)() == 42

    async def variables(self) -> None:
        await self.made.set("x", [1, 2])
        assert await self.made.get("x") == [1, 2] and await self.made.has("x")
        await self.made.delete("x")
        assert not await self.made.has("x")
        refusal(lambda: self.made["x"])  # type: ignore[index]

    async def files(self) -> None:
        await self.made.files.write("a.txt", b"1 2")
        assert await self.made.files.read("a.txt") == b"1 2"

    async def expose(self) -> None:
        async def later(number: int) -> int:
            return number * 3

        await self.made.expose(triple)
        await self.made.expose(later)
        assert (await self.made.run_code("triple(14), later(14)")).value == (42, 42)

    async def fork(self) -> None:
        await self.made.run_code("x = 6")
        async with await self.made.fork() as twin:
            await self.made.run_code("x = 1")
            assert (await twin.run_code("x * 7")).value == 42

    async def interrupt(self) -> None:
        execution = await self.made.run_code("print(1)\nwhile True: pass", on_stdout=lambda text: self.made.interrupt())
        assert execution.error is not None and execution.error.name == "KeyboardInterrupt"
        assert (await self.made.run_code("6 * 7")).value == 42

    async def context(self) -> None:
        other = self.made.context("other")
        await self.made.set("x", 1)
        await other.set("x", 2)
        assert (await self.made.run_code("x")).value == 1 and (await other.run_code("x")).value == 2

    async def export(self) -> None:
        await self.made.set("x", [1, 2])
        with tempfile.TemporaryDirectory() as folder:
            assert await self.made.export(folder + "/session") == {}
            async with await AsyncSandbox.load(folder + "/session", self.policy) as again:
                assert await again.get("x") == [1, 2]

    async def freeze(self) -> None:
        await self.made.freeze()
        with pytest.raises(belljar.SandboxError, match="thaw"):
            await self.made.run_code("1")
        await self.made.thaw()
        assert (await self.made.run_code("6 * 7")).value == 42

    async def usage(self) -> None:
        await self.made.run_code("6 * 7")
        assert (await self.made.usage()).peak_bytes > 1 << 20

    async def template(self) -> None:
        with Template(self.policy) as template:
            async with AsyncSandbox(template=template) as sandbox:
                assert (await sandbox.run_code("6 * 7")).value == 42
            refusal(lambda: AsyncSandbox(self.policy, template=template))


# ---- Functions -----------------------------------------------------------------------------------------------------


class Functions:
    """Faces that call functions, each in a guest of its own."""

    made: Any

    def __init__(self, policy: Any) -> None:
        self.policy = policy

    def close(self) -> None:
        pass

    def verb(self, name: str) -> None:
        refusal(lambda: getattr(self.made, name))

    def run_code(self) -> None:
        self.verb("run_code")

    def stream(self) -> None:
        self.verb("stream")

    def on_result(self) -> None:
        refusal(lambda: self.made.run_code("1", on_result=print))

    def variables(self) -> None:
        self.verb("get")

    def files(self) -> None:
        self.verb("files")

    def expose(self) -> None:
        self.verb("expose")

    def fork(self) -> None:
        self.verb("fork")

    def interrupt(self) -> None:
        self.verb("interrupt")

    def context(self) -> None:
        self.verb("context")

    def export(self) -> None:
        self.verb("export")

    def freeze(self) -> None:
        self.verb("freeze")

    def usage(self) -> None:
        self.verb("usage")

    def execute(self) -> None:
        self.verb("execute")

    def create_callback(self) -> None:
        self.verb("create_callback")


class Pool(Functions):
    """SandboxExecutor."""

    def __init__(self, policy: Any) -> None:
        super().__init__(policy)
        self.made = SandboxExecutor(policy, max_workers=1)

    def close(self) -> None:
        self.made.shutdown()

    def call(self) -> None:
        assert self.made.submit(triple, 14).result() == 42
        assert list(self.made.map(pow, [2, 3], [3, 2])) == [8, 9]

    def template(self) -> None:
        with Template(self.policy) as template:
            with SandboxExecutor(template=template, max_workers=1) as pool:
                assert pool.submit(triple, 14).result() == 42
            assert template.run("6 * 7").value == 42  # it is its owner's
            refusal(lambda: SandboxExecutor(self.policy, template=template))


class Pysandbox(Functions):
    """belljar.pysandbox.Sandbox."""

    def __init__(self, policy: Any) -> None:
        super().__init__(policy)
        self.made = refusal(lambda: pysandbox.Sandbox(policy))

    def call(self) -> None:
        assert (self.made.call(triple, 14), self.made.call(pow, 2, 3)) == (42, 8)

    def execute(self) -> None:
        names = {"x": 6}
        self.made.execute("y = x * 7", names)
        assert names == {"x": 6, "y": 42}

    def create_callback(self) -> None:
        assert self.made.createCallback(triple, 14)() == self.made.create_callback(triple, 14)() == 42

    def template(self) -> None:
        refusal(lambda: pysandbox.Sandbox(self.policy, template=None))  # type: ignore[call-arg]


FACES: dict[str, Callable[[Any], Any]] = {
    "run": Once,
    "arun": AsyncOnce,
    "Template.run": TemplateOnce,
    "Sandbox": Session,
    "Template.sandbox": FromTemplate,
    "AsyncSandbox": AsyncSession,
    "SandboxExecutor": Pool,
    "pysandbox": Pysandbox,
}
VERBS = ("run_code", "stream", "on_result", "execute", "call", "create_callback", "variables", "files", "expose", "fork", "interrupt",
         "context", "export", "freeze", "usage", "template")  # fmt: skip

# ---- What is refused, and what its sentence has to name --------------------------------------------------------------

SESSION = {
    "execute": ".execute(code)", "call": ".call(function)", "create_callback": ".create_callback(function)", "variables": "[name] = value",
    "expose": ".expose(function)", "fork": ".fork()", "interrupt": ".interrupt()", "freeze": ".freeze()",
    "usage": ".usage()", "context": ".context(name)", "export": ".export(path)",
}  # fmt: skip
AWAITED = {
    **{verb: f"await belljar.AsyncSandbox(policy){words}" for verb, words in SESSION.items() if verb not in ("interrupt", "context")},
    "variables": "await belljar.AsyncSandbox(policy).set(name, value)", "interrupt": ".interrupt()", "context": ".context(name)", "call": ".call(function)",
}  # fmt: skip
EITHER = {"template": "give either it or them"}
ELSEWHERE = {**SESSION, "run_code": ".run_code(code)", "stream": ".stream(code)", "on_result": ".run_code(code)", "variables": "[name]",
             "files": ".files"}  # fmt: skip


def only(words: dict[str, str], *kept: str) -> dict[str, str]:
    return {verb: text for verb, text in words.items() if verb not in kept}


REFUSED: dict[str, dict[str, str]] = {
    "run": {**SESSION, **EITHER, "create_callback": ".call(function)"},
    "arun": {**AWAITED, **EITHER, "create_callback": "await belljar.AsyncSandbox(policy).call(function)"},
    "Template.run": {**SESSION, "create_callback": ".call(function)", "template": "template"},
    "Sandbox": EITHER,
    "Template.sandbox": EITHER,
    "AsyncSandbox": {**EITHER, "variables": "await sandbox.get('x')"},
    "SandboxExecutor": {**only(ELSEWHERE, "call"), **EITHER},
    "pysandbox": {**only(ELSEWHERE, "call", "execute", "create_callback"), "template": "it takes config"},
}


async def in_loop(made: Any, cell: Callable[[], Any]) -> None:
    async with made.made:
        await cell()


def outcome(face: str, policy: str, verb: str) -> str:
    """What is wrong with a cell; an empty text if it works or is refused as it should be."""
    words = REFUSED[face].get(verb, "")
    if face == "pysandbox" and policy.startswith("Policy"):
        words = "belljar.Sandbox takes a belljar.Policy"  # it takes a SandboxConfig only
    made = None
    try:
        made = FACES[face](POLICIES[policy]())
        cell = getattr(made, verb)
        asyncio.run(in_loop(made, cell)) if inspect.iscoroutinefunction(cell) else cell()
    except Refused as refused:
        if not words:
            return f"refused: {refused}"
        return "" if words in str(refused) else f"the sentence does not say {words!r}: {refused}"
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    finally:
        if made is not None:
            made.close()
    return f"it is to be refused with {words!r}, and is not" if words else ""


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("face", FACES)
def test_each_cell_works_or_says_what_to_write(face, policy, report):
    wrong = {verb: text for verb in VERBS if (text := outcome(face, policy, verb))}
    report("table of claims", f"{face}, {policy}: {len(VERBS)} cells, {len(VERBS) - len(wrong)} as they should be")
    assert not wrong, "\n".join(f"{face} x {policy} x {verb}: {text}" for verb, text in wrong.items())
