"""belljar on event loops, in threads, and after a fork of the host."""

from __future__ import annotations

import asyncio
import gc
import os
import select
import selectors
import threading
import time

import pytest

import belljar
from belljar import AsyncSandbox, Execution, GuestError, Output, Policy, Result, Sandbox, SandboxError, SessionEnded, Template

core = pytest.mark.core
PYTHON = "/usr/bin/python3"
RUNS = 200


@pytest.fixture(scope="module")
def template():
    with Template(Policy(timeout=20), python=PYTHON, parked=2) as template:
        yield template


def poll_loop() -> asyncio.AbstractEventLoop:
    """A loop on poll(2) instead of epoll(7)."""
    return asyncio.SelectorEventLoop(selectors.PollSelector())


def loops():
    made = {"asyncio": asyncio.SelectorEventLoop, "poll": poll_loop}
    try:
        import uvloop

        made["uvloop"] = uvloop.new_event_loop
    except ImportError:
        pass
    return made


@pytest.fixture(params=sorted(loops()))
def run(request):
    """Runs a coroutine on one of several makes of loops."""

    def on_loop(coroutine):
        with asyncio.Runner(loop_factory=loops()[request.param]) as runner:
            return runner.run(asyncio.wait_for(coroutine, 60))

    return on_loop


# ---- Sessions ----------------------------------------------------------------------------------------------------


@core
def test_a_session_is_awaited(run, template):
    async def main():
        async with AsyncSandbox(template=template, files={"in": "7"}, stdin="line\n") as sandbox:
            assert (await sandbox.run_code("x = int(open('in').read())")).verdict == "ok"
            assert (await sandbox.run_code("input()")).value == "line"
            await sandbox.set("y", [1, {"z": 2.5}])
            assert await sandbox.get("y") == [1, {"z": 2.5}]
            assert await sandbox.has("x") and not await sandbox.has("nothing")
            await sandbox.delete("y")
            with pytest.raises(KeyError):
                await sandbox.get("y")
            with pytest.raises(KeyError):
                await sandbox.delete("y")
            assert await sandbox.call(lambda a, b: a * b, 6, 7) == 42
            names = {"q": 1}
            await sandbox.execute("q += 1", names)
            assert names == {"q": 2}
            with pytest.raises(ZeroDivisionError):
                await sandbox.execute("1 / 0")
            assert (await sandbox.run_code("x")).value == 7
        with pytest.raises(SessionEnded):
            await sandbox.run_code("1")

    run(main())


def test_variables_of_a_session_are_awaited(template):
    async def main():
        async with AsyncSandbox(template=template) as sandbox:
            await sandbox.variables.set("x", 20)
            assert await sandbox.variables.get("x") == await sandbox.get("x") == 20
            assert await sandbox.variables.has("x") and not await sandbox.variables.has("y")
            assert await sandbox.variables.names() == ["x"]
            await sandbox.variables.delete("x")
            with pytest.raises(KeyError):
                await sandbox.variables.get("x")
            with pytest.raises(AttributeError, match=r"write await sandbox.variables.names\(\)"):
                sandbox.variables.keys()

    asyncio.run(main())


def test_a_session_may_be_opened_in_three_ways(template):
    async def main():
        first = await AsyncSandbox(template=template)
        second = AsyncSandbox(template=template)
        assert [(await sandbox.run_code("1")).value for sandbox in (first, second)] == [1, 1]
        await first.close()
        await second.close()
        unused = AsyncSandbox(template=template)
        await unused.close()
        with pytest.raises(SandboxError, match="closed"):
            await unused.run_code("1")

    asyncio.run(main())


def test_a_session_without_a_template_starts_one_without_blocking_the_loop():
    async def main():
        ticks = 0

        async def tick():
            nonlocal ticks
            while True:
                await asyncio.sleep(0.002)
                ticks += 1

        task = asyncio.create_task(tick())
        async with AsyncSandbox(Policy(timeout=9.75), python=PYTHON) as sandbox:
            assert (await sandbox.run_code("6 * 7")).value == 42
        task.cancel()
        return ticks

    assert asyncio.run(main()) >= 3


def test_files_of_a_session(run, template, tmp_path):
    async def main():
        async with AsyncSandbox(template=template, files={"a": "1"}) as sandbox:
            assert await sandbox.files.list() == ["a"]
            await sandbox.files.write("d/b", b"2")
            execution = await sandbox.run_code("open('c', 'w').write(open('d/b').read())")
            assert list(execution.files) == ["c"]
            assert await sandbox.files.read("c") == b"2"
            assert await sandbox.files.glob("*") == {"a": b"1", "c": b"2", "d/b": b"2"}
            await sandbox.files.delete("c")
            assert not await sandbox.files.exists("c")
            with pytest.raises(KeyError):
                await sandbox.files.read("c")
            assert await sandbox.files.collect("d/*", tmp_path) == [tmp_path / "d/b"]
            with await sandbox.files.open("a") as file:
                assert file.read() == b"1"

    run(main())


def test_async_host_functions_run_on_this_loop(run, template):
    async def main():
        loop = asyncio.get_running_loop()
        active = peak = 0

        async def fetch(n):
            nonlocal active, peak
            assert asyncio.get_running_loop() is loop
            active += 1
            peak = max(peak, active)
            await asyncio.sleep(0.1)
            active -= 1
            if n < 0:
                raise ValueError("negative")
            return n * 2

        async def one(n):
            async with AsyncSandbox(template=template) as sandbox:
                await sandbox.expose(fetch)
                await sandbox.expose(lambda: "plain", "plain")
                return (await sandbox.run_code(f"fetch({n}), plain()")).value

        assert await asyncio.gather(*(one(n) for n in range(4))) == [(n * 2, "plain") for n in range(4)]
        assert peak > 1  # the loop went on while one of them waited
        async with AsyncSandbox(template=template) as sandbox:
            await sandbox.expose(fetch)
            assert (await sandbox.run_code("try: fetch(-1)\nexcept ValueError as e: print(e)")).stdout == "negative\n"

    run(main())


def test_a_host_function_is_cancelled_with_the_run_that_asked(template):
    async def main():
        ended = asyncio.Event()

        async def wait():
            try:
                await asyncio.sleep(60)
            finally:
                ended.set()

        async with AsyncSandbox(template=template) as sandbox:
            await sandbox.expose(wait)
            assert (await sandbox.run_code("wait()", timeout=0.3)).verdict == "timeout"
            await asyncio.wait_for(ended.wait(), 5)

    asyncio.run(main())


def test_a_host_function_may_run_code_in_another_sandbox(template):
    async def main():
        async with AsyncSandbox(template=template) as outer, AsyncSandbox(template=template) as inner:

            async def ask(code):
                return (await inner.run_code(code)).value

            async def again():
                return (await outer.run_code("1")).value

            await outer.expose(ask)
            await outer.expose(again)
            assert (await outer.run_code("ask('20 + 1') * 2")).value == 42
            assert "one coroutine at a time" in (await outer.run_code("again()")).error.value

    asyncio.run(main())


def test_forks_go_on_by_themselves(template):
    async def main():
        async with AsyncSandbox(template=template) as sandbox:
            await sandbox.run_code("x = 1; open('f', 'w').write('f')")

            async def double(n):
                return n * 2

            await sandbox.expose(double)
            try:
                twins = await sandbox.fork(2)
            except SandboxError as error:
                pytest.skip(f"this machine cannot fork sessions: {error}")
            await asyncio.gather(*(twin.run_code(f"x += {n}") for n, twin in enumerate(twins, 10)))
            assert [(await twin.run_code("double(x)")).value for twin in twins] == [22, 24]
            assert await twins[0].files.read("f") == b"f"
            assert (await sandbox.run_code("x")).value == 1
            for twin in twins:
                await twin.close()

    asyncio.run(main())


# ---- Streams -----------------------------------------------------------------------------------------------------


@core
def test_a_stream_gives_events_as_they_happen(run, template):
    async def main():
        async with AsyncSandbox(template=template) as sandbox:
            seen = [event async for event in sandbox.stream("print('a')\n6 * 7")]
            assert seen[0] == Output("stdout", "a\n")
            assert isinstance(seen[1], Result) and isinstance(seen[2], Execution)
            async for event in sandbox.stream("x = 5\nimport time\nwhile True:\n    print('.')\n    time.sleep(0.01)"):
                break
            assert (await sandbox.run_code("x")).value == 5  # the session goes on
            stream = sandbox.stream("import time\nwhile True:\n    print('.')\n    time.sleep(0.01)")
            assert isinstance(await anext(stream), Output)
            await stream.aclose()
            assert (await sandbox.run_code("x")).value == 5

    run(main())


def test_leaving_a_stream_whose_code_goes_on_ends_the_session(template):
    async def main():
        async with AsyncSandbox(template=template) as sandbox:
            code = "import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\nwhile True: print('.')"
            async for _ in sandbox.stream(code):
                break
            with pytest.raises(SessionEnded, match="went on after it was interrupted"):
                await sandbox.run_code("1")

    asyncio.run(main())


# ---- Cancelling ----------------------------------------------------------------------------------------------------


@core
def test_cancelling_a_task_kills_the_guest(run, template):
    async def main():
        sandbox = await AsyncSandbox(template=template)
        pids = "import os; os.getpid()"
        assert (await sandbox.run_code(pids)).verdict == "ok"
        task = asyncio.create_task(sandbox.run_code("while True: pass"))
        await asyncio.sleep(0.2)
        began = time.monotonic()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        with pytest.raises(SessionEnded, match="was cancelled"):
            await sandbox.run_code("1")
        assert time.monotonic() - began < 2
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await belljar.arun("while True: pass", python=PYTHON)
        assert (await belljar.arun("1", python=PYTHON)).text == "1"

    run(main())


def test_one_coroutine_at_a_time_runs_code(template):
    async def main():
        async with AsyncSandbox(template=template) as sandbox:
            task = asyncio.create_task(sandbox.run_code("import time; time.sleep(0.5); 1"))
            await asyncio.sleep(0.2)
            with pytest.raises(SandboxError, match="one coroutine at a time"):
                await sandbox.run_code("2")
            assert (await task).value == 1

    asyncio.run(main())


def test_interrupt_keeps_the_session(template):
    async def main():
        async with AsyncSandbox(template=template) as sandbox:
            await sandbox.run_code("x = 3")
            task = asyncio.create_task(sandbox.run_code("while True: pass"))
            await asyncio.sleep(0.2)
            sandbox.interrupt()
            assert (await task).error.name == "KeyboardInterrupt"
            assert (await sandbox.run_code("x")).value == 3

    asyncio.run(main())


def test_an_exception_in_a_callback_comes_out(template):
    async def main():
        async with AsyncSandbox(template=template) as sandbox:
            with pytest.raises(ArithmeticError):
                await sandbox.run_code("print(1)", on_stdout=lambda text: math_is_hard())

        def never(text):
            raise AssertionError

        async with AsyncSandbox(template=template) as sandbox:
            assert (await sandbox.run_code("1", on_stdout=never)).value == 1

    def math_is_hard():
        raise ArithmeticError

    asyncio.run(main())


def test_guest_errors_come_out_of_await(template):
    async def main():
        async with AsyncSandbox(template=template) as sandbox:
            with pytest.raises(GuestError):
                await sandbox.call(lambda: 1 / 0)
            assert (await sandbox.run_code("1")).value == 1

    asyncio.run(main())


# ---- Many ----------------------------------------------------------------------------------------------------------


def test_many_runs_on_one_loop(run):
    async def main():
        executions = await asyncio.gather(*(belljar.arun(f"{n} * 2", python=PYTHON) for n in range(RUNS)))
        assert [execution.text for execution in executions] == [str(n * 2) for n in range(RUNS)]

    run(main())


@core
def test_code_alone_comes_to_the_same_as_with_options(run, template):
    """Then it goes a shorter way."""

    async def main():
        for code in ("6 * 7", b"# coding: latin-1\n'\xe9'", "1 / 0", "print('out')"):
            short, long = await belljar.arun(code, template=template), await belljar.arun(code, template=template, files={})
            assert [short.verdict, short.value, short.text, short.stdout, short.error] == [
                long.verdict, long.value, long.text, long.stdout, long.error]  # fmt: skip
        assert (await belljar.arun("import os; os.environ['A']", Policy(env={"A": "1"}))).value == "1"
        for more in ({}, {"files": {}}):
            with pytest.raises(TypeError, match="code"):
                await belljar.arun(7, template=template, **more)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await belljar.arun("while True: pass", template=template)
        execution = await belljar.arun("open('made', 'w').write('x')", template=template)
        assert execution.files["made"] == b"x"

    run(main())


def test_runs_may_come_from_a_template_of_ones_own(template):
    async def main():
        assert (await belljar.arun("6 * 7", template=template)).value == 42
        with pytest.raises(SandboxError, match="template="):
            await belljar.arun("1", Policy(), template=template)

    asyncio.run(main())


def test_many_sessions_at_a_time(template):
    async def one(n):
        async with AsyncSandbox(template=template) as sandbox:
            await sandbox.run_code(f"x = {n}")
            await asyncio.sleep(0.2)
            return (await sandbox.run_code("x")).value

    async def main():
        return await asyncio.gather(*(one(n) for n in range(50)))

    assert asyncio.run(main()) == list(range(50))


def test_nothing_is_left_behind(template):
    async def one(n):
        async with AsyncSandbox(template=template) as sandbox:
            await sandbox.run_code("x = 1")
            async for _ in sandbox.stream("print(x)"):
                pass

    async def main():
        await one(0)
        before = len(os.listdir("/proc/self/fd"))
        for n in range(20):
            await one(n)
        assert len(os.listdir("/proc/self/fd")) <= before + 2
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(main())


# ---- Threads and forks ---------------------------------------------------------------------------------------------


def test_sixteen_threads_share_a_template(template):
    failures: list[BaseException] = []

    def work(n):
        try:
            for turn in range(5):
                with Sandbox(template=template) as sandbox:
                    sandbox["n"] = n
                    sandbox.expose(lambda x: x + turn, "add")
                    assert sandbox.run_code("add(n)").value == n + turn
                assert template.run(f"{n} + {turn}").value == n + turn
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failures == []


def test_sixteen_threads_each_with_a_loop(template):
    results: list[list[object]] = []

    def work(n):
        async def main():
            async with AsyncSandbox(template=template) as sandbox:
                return [(await sandbox.run_code(f"{n} + {turn}")).value for turn in range(3)]

        results.append(asyncio.run(main()))

    threads = [threading.Thread(target=work, args=(n,)) for n in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(results) == [[n, n + 1, n + 2] for n in range(16)]


@core
def test_after_a_fork_of_the_host_a_session_says_so(template):
    sandbox = Sandbox(template=template)
    sandbox.run_code("x = 1")
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        said = []
        for attempt in (lambda: sandbox.run_code("x"), lambda: sandbox["x"], lambda: asyncio.run(forked(template)),
                        lambda: belljar.run("6 * 7", python=PYTHON).text):  # fmt: skip
            try:
                said.append(str(attempt()))
            except BaseException as error:
                said.append(f"{type(error).__name__}: {error}")
        os.write(writer, "\n".join(said).encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as file:
        lines = file.read().splitlines()
    os.waitpid(pid, 0)
    assert len(lines) == 4, lines
    for line in lines[:3]:
        assert "fork" in line and "Error" in line, lines
    assert lines[3] == "42"
    assert sandbox.run_code("x").value == 1  # nothing happened to the parent's
    sandbox.close()


async def forked(template):
    async with AsyncSandbox(template=template) as sandbox:
        await sandbox.run_code("1")


@pytest.mark.filterwarnings("error::RuntimeWarning", "error::pytest.PytestUnraisableExceptionWarning")
def test_a_host_function_that_is_cancelled_before_it_began_is_not_left_unawaited():
    from belljar._host_functions import HostFunction
    from belljar._session import _Whole

    begun = []

    async def work():
        begun.append(1)

    async def main():
        async with AsyncSandbox() as sandbox:
            await sandbox.run_code("1")
            driver = sandbox._opening.now
            value = _Whole(HostFunction(work, "work", None, None).call([], {})).settled()
            driver._defer(driver.session.desk._reply_later(1, value, 0))
            del value
            await driver.cancel()
            assert (await sandbox.run_code("6 * 7")).text == "42"

    asyncio.run(main())
    gc.collect()
    assert begun == []


# ---- Short runs --------------------------------------------------------------------------------------------------


def test_short_runs_leave_the_loop_to_others(template):
    async def main():
        turns = 0

        async def other():
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        async with AsyncSandbox(template=template) as sandbox:
            task = asyncio.create_task(other())
            for number in range(60):
                before = turns
                execution = await sandbox.run_code(f"print({number}); {number}")
                assert (execution.stdout, execution.value) == (f"{number}\n", number)
                assert turns > before
            task.cancel()

    asyncio.run(main())


def test_after_short_runs_a_long_one_has_its_limits_and_its_host_functions(template):
    async def main():
        async def twice(number):
            await asyncio.sleep(0.01)
            return 2 * number

        async with AsyncSandbox(template=template) as sandbox:
            for number in range(5):
                assert (await sandbox.run_code(str(number))).value == number
            await sandbox.expose(twice)
            assert (await sandbox.run_code("twice(21)")).value == 42
            assert (await sandbox.run_code("while True: pass", timeout=0.3)).verdict == "timeout"
            assert (await sandbox.run_code("1")).value == 1

    asyncio.run(main())


def test_a_short_run_that_is_cancelled_ends_its_session(template):
    async def main():
        async with AsyncSandbox(template=template) as sandbox:
            for number in range(5):
                await sandbox.run_code(str(number))
            task = asyncio.create_task(sandbox.run_code("1 + 1"))
            await asyncio.sleep(0)  # it has begun
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            with pytest.raises(SessionEnded, match="cancelled"):
                await sandbox.run_code("1")

    asyncio.run(main())


def test_a_run_that_is_over_when_it_has_begun_is_seen_by_who_polls(template):
    with Sandbox(template=template) as sandbox:
        sandbox.run_code("1")
        guest = sandbox._session.guest
        for _ in range(8):
            guest.start(b"1 + 1", session=True, last_value=True, stdin_bytes=b"")
            while True:
                time.sleep(0.002)
                fds, timeout_ms = guest.pollfds()
                poll = select.poll()
                for fd, events in fds:
                    poll.register(fd, events)
                assert timeout_ms == 0 or poll.poll(10_000)
                if guest.step() is not None:
                    break
