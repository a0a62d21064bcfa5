"""An interrupt is of the run that it was sent for, whenever it comes: it ends that run, or that run was over. Never the next one."""

from __future__ import annotations

import asyncio
import time

import pytest

from belljar import AsyncSandbox, Policy, Template

ASYNCIO = "try: import asyncio\nexcept ImportError: pass\n"

MOMENTS = range(0, 600, 20)
"""Microseconds after the run was begun."""

ENDLESS = {
    "a loop": "while True: pass",
    "a sleep": "import time; time.sleep(60)",
    "a native loop": "any(x < 0 for x in iter(int, 1))",
    "a coroutine": "await asyncio.sleep(60)",
    "notebook": "%time\nwhile True: pass",
    "much code": "'%s'\nwhile True: pass" % ("x" * 300_000),
}

SHORT = {
    "nothing": "1",
    "statements": "x = 5\nfor i in range(300): x += i\nx - x + 1",
    "a display": "class A:\n  def __repr__(self): return '1'\nA()",
    "output": "print('.' * 5000, flush=True); 1",
    "a coroutine": "await asyncio.sleep(0); 1",
}


async def interrupted_after(sandbox: AsyncSandbox, code: str, microseconds: int) -> str | None:
    """The name of the error that the run came to."""
    task = asyncio.create_task(sandbox.run_code(code, timeout=3))
    await asyncio.sleep(0)
    until = time.perf_counter() + microseconds / 1e6
    while time.perf_counter() < until:
        pass
    sandbox.interrupt()
    execution = await task
    assert execution.verdict in ("ok", "error"), (microseconds, execution)
    return execution.error and execution.error.name


@pytest.fixture(scope="module", params=[{}, {"profile": "compute"}], ids=["full", "compute"])
def template(request):
    with Template(Policy(**request.param)) as made:
        yield made


def skip_without_asyncio(template: Template, what: str) -> None:
    if what == "a coroutine" and template.run("import asyncio").error is not None:
        pytest.skip("this profile has no asyncio")


@pytest.mark.parametrize("what", ENDLESS)
def test_an_interrupt_ends_its_run_whenever_it_comes(template, what):
    skip_without_asyncio(template, what)

    async def main() -> None:
        async with AsyncSandbox(template=template) as sandbox:
            await sandbox.run_code(ASYNCIO + "kept = 1")
            for moment in MOMENTS:
                assert await interrupted_after(sandbox, ENDLESS[what], moment) == "KeyboardInterrupt", moment
            assert (await sandbox.run_code("kept")).value == 1

    asyncio.run(main())


@pytest.mark.parametrize("what", SHORT)
def test_an_interrupt_that_comes_too_late_is_not_the_next_runs(template, what):
    skip_without_asyncio(template, what)

    async def main() -> None:
        async with AsyncSandbox(template=template) as sandbox:
            await sandbox.run_code(ASYNCIO)
            for moment in [*MOMENTS] * 2:
                assert await interrupted_after(sandbox, SHORT[what], moment) in (None, "KeyboardInterrupt")
                following = await sandbox.run_code("1 + 1")
                assert (following.text, following.error) == ("2", None), moment

    asyncio.run(main())
