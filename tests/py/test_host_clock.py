"""The host's own clock: neither a callback that takes its time nor a supervisor that stands still makes a run longer."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import belljar
import looking
import numpy
import pytest

core = pytest.mark.core
pytestmark = pytest.mark.alone

LATE = 2.5
"""What a run may take beyond its limit of half a second on a busy machine. The promise is one second on an idle one."""


@pytest.fixture
def template() -> Iterator[belljar.Template]:
    with belljar.Template(belljar.Policy(timeout=0.5, cpu=0.5)) as made:
        yield made


def supervisor_of(template: belljar.Template) -> int:
    """Its supervisor: the newest of this process."""
    return looking.supervisors()[-1]


@contextlib.contextmanager
def stopped(pid: int) -> Iterator[None]:
    """Stops it, for good: who needs it has to end it."""
    try:
        os.kill(pid, signal.SIGSTOP)
    except PermissionError:
        pytest.skip("the supervisor belongs to another user than this test")
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


def stop_later(pid: int, seconds: float = 0.2) -> threading.Timer:
    try:
        os.kill(pid, 0)
    except PermissionError:
        pytest.skip("the supervisor belongs to another user than this test")
    timer = threading.Timer(seconds, os.kill, (pid, signal.SIGSTOP))
    timer.start()
    return timer


# ---- Callbacks that take their time ----------------------------------------------------------------------------------


SPIN = "print('x', flush=True)\nwhile True: pass"
SPIN_AFTER_INPUT = "input()\nwhile True: pass"
SLOW = 4


def slowly(supervisor: int, seen: list[int]) -> None:
    """A callback: how long all that runs below the supervisor stays. (The pool may be filling: a number would say less.)"""
    start = time.monotonic()
    before = set(looking.living(supervisor))
    looking.wait_until(lambda: before - set(looking.living(supervisor)), SLOW)
    seen.append(round(time.monotonic() - start, 1))
    time.sleep(max(0.0, start + 0.7 - time.monotonic()))


@core
@pytest.mark.parametrize("how", ["on_stdout", "on_stderr", "stdin", "on_result", "arun", "stream"])
def test_a_callback_that_takes_its_time_does_not_stop_the_limits(how: str) -> None:
    policy = belljar.Policy(timeout=0.5, cpu=0.5)
    with belljar.Template(policy) as template:
        template.run("1").usage  # noqa: B018
        supervisor = supervisor_of(template)
        seen: list[float] = []

        def callback(*arguments: object) -> None:
            if not seen:
                slowly(supervisor, seen)

        if how == "on_stdout":
            execution = template.run(SPIN, on_stdout=callback)
        elif how == "on_stderr":
            execution = template.run("import sys; sys.stderr.write('x'); sys.stderr.flush()\nwhile True: pass", on_stderr=callback)
        elif how == "stdin":
            execution = template.run("while True: pass", stdin=lambda: callback())
        elif how == "on_result":
            with template.sandbox() as sandbox:
                sandbox.run_code("1")
                execution = sandbox.run_code("display(1)\nwhile True: pass", on_result=callback)
        elif how == "arun":
            execution = asyncio.run(belljar.arun(SPIN, template=template, on_stdout=callback))
        else:
            with template.sandbox() as sandbox:
                sandbox.run_code("1")
                for event in sandbox.stream(SPIN):
                    callback()
                execution = event
        assert execution.verdict in ("timeout", "cpu"), execution
        assert seen[0] < 0.5 + LATE, seen


def is_waiting(coroutine: object) -> bool:
    """Whether it, or what it awaits, waits for a guest's descriptors."""
    while (frame := getattr(coroutine, "cr_frame", None)) is not None:
        if "waiter" in frame.f_locals:
            return True
        coroutine = coroutine.cr_await  # type: ignore[attr-defined]
    return False


@core
def test_an_event_loop_that_comes_back_late_does_not_stop_the_limits(template: belljar.Template) -> None:
    template.run("1").usage  # noqa: B018
    time.sleep(0.5)  # the next guest is parked: what is waited for is the run, and not a guest for it
    seen: list[float] = []

    async def both() -> belljar.Execution:
        run = asyncio.ensure_future(belljar.arun("while True: pass", template=template))
        while not looking.living(supervisor_of(template)) or not seen:
            await asyncio.sleep(0)  # the run begins
            if is_waiting(run.get_coro()):
                slowly(supervisor_of(template), seen)  # and the loop is kept busy
        return await run

    execution = asyncio.run(both())
    assert execution.verdict in ("timeout", "cpu")
    assert seen[0] < 0.5 + LATE, seen


@core
def test_another_thread_that_keeps_the_interpreter_does_not_stop_the_limits(template: belljar.Template) -> None:
    template.run("1").usage  # noqa: B018
    done: list[belljar.Execution] = []
    thread = threading.Thread(target=lambda: done.append(template.run(SPIN, on_stdout=lambda text: None)))
    thread.start()
    time.sleep(0.02)
    before = set(looking.living(supervisor_of(template)))
    watcher = subprocess.Popen([sys.executable, "-c", f"""
import sys, time
sys.path.insert(0, {os.path.dirname(__file__)!r})
import looking
start = time.monotonic()
looking.wait_until(lambda: {before} - set(looking.living({supervisor_of(template)})), 10)
print(time.monotonic() - start)
"""], stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)})  # fmt: skip
    ctypes.PyDLL(None).sleep(4)  # with the GIL
    thread.join()
    assert done[0].verdict in ("timeout", "cpu")
    assert float(watcher.communicate()[0]) < 0.5 + LATE + 1  # an interpreter starts first


@core
def test_a_slow_on_operation_does_not_keep_other_runs_from_their_limits() -> None:
    entered, leave = threading.Event(), threading.Event()

    def on_operation(*operation: object) -> None:
        if "slow" in str(operation[2]):
            entered.set()
            leave.wait(10)

    with belljar.Template(belljar.Policy(timeout=20), parked=2, on_operation=on_operation) as template:
        threads = [threading.Thread(target=template.run, args=("import os\ntry: os.stat('slow')\nexcept OSError: pass",))]
        threads[0].start()
        assert entered.wait(10)
        supervisor = supervisor_of(template)
        guest = template._pool.core.take()  # while the other thread is in the callback
        before = set(looking.living(supervisor))
        threads.append(threading.Thread(target=lambda: guest.run(b"while True: pass", wall_ms=500)))
        threads[1].start()
        try:
            assert looking.wait_until(lambda: before - set(looking.living(supervisor)), 0.5 + LATE)
        finally:
            leave.set()
            for thread in threads:
                thread.join()
            guest.close()


# ---- A supervisor that stands still ----------------------------------------------------------------------------------


@core
@pytest.mark.parametrize("limits", [{"timeout": 0.5, "cpu": None}, {"timeout": 20, "cpu": 0.5}])
def test_a_stopped_supervisor_does_not_make_a_run_longer(limits: dict[str, float]) -> None:
    with belljar.Template(belljar.Policy(**limits)) as template:
        supervisor = supervisor_of(template)
        template.run("1").usage  # noqa: B018
        below = looking.descendants(supervisor)
        stop_later(supervisor)
        start = time.monotonic()
        execution = template.run("print('begun', flush=True)\nwhile True: pass")
        took = time.monotonic() - start
        below = [*below, *looking.descendants(supervisor)]
        assert execution.verdict == "infra_error", execution
        assert execution.stdout == "begun\n"
        assert "supervisor" in execution.error.value and "SIGSTOP" in execution.error.value
        assert took < 0.5 + 1 + LATE, took
        assert execution.usage.cpu_ms == 0 and execution.violations == []  # nobody is left to ask
        assert looking.wait_until(lambda: not [pid for pid in below if (looking.stat_of(pid) or (0, "Z"))[1] != "Z"], 5)
        with pytest.raises(belljar.SandboxError, match="supervisor"):
            template.run("1")
    assert belljar.run("6*7").text == "42"


@core
def test_the_shared_template_is_opened_anew_after_its_supervisor_was_stuck() -> None:
    policy = belljar.Policy(timeout=0.5, descriptors=123)
    belljar.run("1", policy).usage  # noqa: B018
    supervisor = looking.supervisors()[-1]
    stop_later(supervisor)
    assert belljar.run("while True: pass", policy).verdict == "infra_error"
    assert belljar.run("6*7", policy).text == "42"
    assert looking.wait_until(lambda: looking.stat_of(supervisor) is None, 5)  # and the old one was reaped


@core
def test_an_async_run_under_a_stopped_supervisor_ends(template: belljar.Template) -> None:
    stop_later(supervisor_of(template))
    start = time.monotonic()
    execution = asyncio.run(belljar.arun("while True: pass", template=template))
    assert execution.verdict == "infra_error" and "SIGSTOP" in execution.error.value
    assert time.monotonic() - start < 0.5 + 1 + LATE


@core
def test_without_a_time_limit_a_stopped_supervisor_is_found_out_all_the_same() -> None:
    with belljar.Template(belljar.Policy(timeout=None, cpu=None)) as template:
        stop_later(supervisor_of(template))
        start = time.monotonic()
        execution = template.run("import os\nwhile True: os.path.exists('x')")
        assert execution.verdict == "infra_error"
        assert 9 < time.monotonic() - start < 30


@core
def test_a_supervisor_that_pauses_between_limits_is_waited_for() -> None:
    with belljar.Template(belljar.Policy(timeout=30)) as template:
        supervisor = supervisor_of(template)
        stop_later(supervisor)
        resume = threading.Timer(2.5, os.kill, (supervisor, signal.SIGCONT))
        resume.start()
        assert template.run("import time; time.sleep(0.5); open('x', 'w').close(); 6*7").text == "42"
        resume.join()


def closing(call: object) -> None:
    with contextlib.suppress(belljar.SandboxError):
        call()  # type: ignore[operator]


@core
@pytest.mark.parametrize("what", ["take", "try_take", "fork", "lend", "files", "close"])
def test_no_wait_for_a_stopped_supervisor_is_endless(what: str) -> None:
    template = belljar.Template(belljar.Policy(timeout=5))
    sandbox = template.sandbox()
    sandbox.run_code("x = 1")
    taken = [template._pool.core.take()] if what in ("take", "try_take") else []
    execution = template.run("open('f', 'w').write('1')") if what == "files" else None
    start = time.monotonic()
    with stopped(supervisor_of(template)):
        if what == "take":
            with pytest.raises(belljar.SandboxError, match="SIGSTOP"):
                template.run("1")
        elif what == "try_take":
            with pytest.raises(belljar.SandboxError, match="SIGSTOP"):
                asyncio.run(belljar.arun("1", template=template))
        elif what == "fork":
            with pytest.raises(belljar.SandboxError):
                sandbox.fork()
        elif what == "lend":
            with contextlib.suppress(belljar.SandboxError):
                sandbox.set("a", numpy.zeros(1 << 20))
                pytest.fail("it was lent by nobody")
        elif what == "files":
            closing(lambda: dict(execution.files))
        sandbox.close()
        for guest in taken:
            guest.close()
        template.close()
    assert time.monotonic() - start < 25
    assert belljar.run("6*7").text == "42"


# ---- The command -----------------------------------------------------------------------------------------------------


def command() -> list[str]:
    return [os.path.join(os.environ.get("BELLJAR_BUILD", "build"), "belljar"), "run"]


def guests_of(process: subprocess.Popen[bytes]) -> list[int]:
    return [pid for supervisor in looking.children(process.pid) for pid in looking.living(supervisor)]


@core
def test_a_reader_who_does_not_read_does_not_stop_the_limits() -> None:
    code = "import sys\nsys.stdout.write('x' * 500000)\nsys.stdout.flush()\nwhile True: pass"
    with subprocess.Popen([*command(), "--timeout", "0.5", "-c", code], stdout=subprocess.PIPE, bufsize=0) as process:
        try:
            assert process.stdout.read(1) == b"x"  # it runs
            at_most = len(guests_of(process))
            assert looking.wait_until(lambda: len(guests_of(process)) < at_most, 0.5 + LATE + 1)
            assert process.poll() is None  # it still has output to hand on
            assert len(process.stdout.read()) >= 65535  # what it had written when it was ended
            assert process.wait(10) == 124
        finally:
            process.kill()


@core
def test_the_command_ends_although_its_supervisor_is_stopped() -> None:
    with subprocess.Popen(
        [*command(), "--timeout", "1", "-c", SPIN], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout.readline() == "x\n"
            (supervisor,) = looking.children(process.pid)
            with stopped(supervisor):
                assert process.wait(10) == 125
            assert "supervisor" in (said := process.stderr.read()) and "SIGSTOP" in said
        finally:
            process.kill()
