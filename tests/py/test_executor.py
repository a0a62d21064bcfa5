"""SandboxExecutor: concurrent.futures, every call in a fresh guest."""

from __future__ import annotations

import concurrent.futures
import math
import os
import sys
import threading
import time

import pytest

import belljar
from belljar import GuestError, Policy, Record, SandboxError, SandboxExecutor

PYTHON = "/usr/bin/python3"


@pytest.fixture(scope="module")
def pool():
    with SandboxExecutor(Policy(timeout=3, memory="300M"), max_workers=2, python=PYTHON) as pool:
        yield pool


class Custom(Exception):
    pass


def raise_custom():
    raise Custom("hm")


def exit_three():
    sys.exit(3)


def test_submit_returns_a_future_with_the_result(pool):
    future = pool.submit(pow, 2, 10)
    assert isinstance(future, concurrent.futures.Future)
    assert future.result(timeout=20) == 1024
    assert future.done() and not future.cancelled() and future.exception() is None
    assert isinstance(pool, concurrent.futures.Executor)


def test_functions_go_with_what_they_refer_to(pool):
    offset = 100
    helper = lambda x: x + offset  # noqa: E731
    assert pool.submit(lambda x, *, y: helper(x) * y, 1, y=2).result() == 202
    assert pool.submit(math.hypot, 3, 4).result() == 5.0


def test_map_keeps_the_order_and_takes_a_chunksize(pool):
    assert list(pool.map(lambda a, b: a * b, range(10), range(10), chunksize=3)) == [n * n for n in range(10)]


def test_map_has_a_timeout_that_ends_what_runs(pool):
    began = time.monotonic()
    with pytest.raises(TimeoutError):
        list(pool.map(time.sleep, [2.5, 2.5], timeout=0.3))
    assert time.monotonic() - began < 2


def test_calls_share_nothing(pool):
    def count():
        import builtins

        builtins.counter = getattr(builtins, "counter", 0) + 1
        open("/tmp/trace", "a").write("x")
        return builtins.counter, os.path.getsize("/tmp/trace")

    assert set(pool.map(lambda _: count(), range(4))) == {(1, 1)}


def test_results_are_values_and_never_unpickled(pool):
    class Trap:
        def __reduce__(self):
            return os._exit, (3,)

    result = pool.submit(lambda: Trap()).result()
    assert isinstance(result, belljar.Opaque)
    point = pool.submit(lambda: __import__("collections").namedtuple("P", "x y")(1, 2)).result()
    assert isinstance(point, Record) and (point.x, point.y) == (1, 2)


EXCEPTIONS = [
    (lambda: 1 / 0, ZeroDivisionError, "division by zero"),
    (lambda: {}["key"], KeyError, "'key'"),
    (lambda: int("x"), ValueError, "invalid literal"),
    (lambda: open("gone"), FileNotFoundError, r"\[Errno 2\] No such file or directory: 'gone'"),
    (lambda: bytearray(1 << 40), MemoryError, ""),
    (lambda: None.x, AttributeError, "NoneType"),
]


@pytest.mark.parametrize(("function", "kind", "text"), EXCEPTIONS, ids=[row[1].__name__ for row in EXCEPTIONS])
def test_an_exception_arrives_as_the_same_builtin_type(pool, function, kind, text):
    future = pool.submit(function)
    with pytest.raises(kind, match=text) as caught:
        future.result()
    assert type(caught.value) is kind
    assert isinstance(caught.value.__cause__, GuestError)
    assert "line" in caught.value.__cause__.traceback
    assert type(future.exception()) is kind


def test_an_os_error_has_its_number_and_name(pool):
    error = pool.submit(open, "gone").exception()
    assert (error.errno, error.filename) == (2, "gone")


def test_other_exceptions_are_a_sandbox_error_with_the_name(pool):
    for function, name in ((raise_custom, "Custom"), (exit_three, "SystemExit"), (lambda: next(iter(())), "StopIteration")):
        error = pool.submit(function).exception()
        assert isinstance(error, SandboxError)
        assert error.name == name


def test_limits_are_exceptions(pool):
    def spin():
        while True:
            pass

    assert type(pool.submit(spin).exception()) is TimeoutError
    assert isinstance(pool.submit(lambda: os.abort()).exception(), SandboxError)
    assert pool.submit(lambda: 1).result() == 1  # the pool goes on
    with SandboxExecutor(Policy(cpu=0.3, timeout=5, memory="100M"), max_workers=1, python=PYTHON) as strict:
        assert type(strict.submit(spin).exception()) is TimeoutError
        assert type(strict.submit(lambda: [bytearray(10 << 20) for _ in range(100)]).exception()) is MemoryError


def test_what_the_policy_forbids_is_an_exception(pool):
    assert isinstance(pool.submit(lambda: open("/etc/shadow")).exception(), PermissionError)


def test_a_pending_call_can_be_cancelled(pool):
    busy = [pool.submit(time.sleep, 1) for _ in range(2)]
    waiting = pool.submit(pow, 2, 2)
    assert waiting.cancel() and waiting.cancelled() and waiting.done()
    with pytest.raises(concurrent.futures.CancelledError):
        waiting.result()
    assert [future.result() for future in busy] == [None, None]


def test_cancelling_a_running_call_kills_its_guest(pool):
    future = pool.submit(time.sleep, 2.5)
    while not future.running():
        time.sleep(0.01)
    time.sleep(0.2)
    began = time.monotonic()
    assert future.cancel()
    assert future.cancelled()
    with pytest.raises(concurrent.futures.CancelledError):
        future.result()
    assert time.monotonic() - began < 1.5
    done, _ = concurrent.futures.wait([future], timeout=5)
    assert done == {future}


def test_a_call_that_has_ended_cannot_be_cancelled(pool):
    future = pool.submit(int)
    future.result()
    assert not future.cancel() and not future.cancelled()


def test_done_callbacks_and_as_completed(pool):
    seen = threading.Event()
    future = pool.submit(pow, 3, 3)
    future.add_done_callback(lambda done: seen.set())
    assert [done.result() for done in concurrent.futures.as_completed([future], timeout=20)] == [27]
    assert seen.wait(5)


def test_shutdown_waits_and_refuses_more():
    pool = SandboxExecutor(Policy(timeout=10), max_workers=1, python=PYTHON)
    first, second = pool.submit(time.sleep, 0.3), pool.submit(pow, 2, 2)
    pool.shutdown()
    assert first.done() and second.result() == 4
    with pytest.raises(RuntimeError, match="after shutdown"):
        pool.submit(pow, 2, 2)
    pool.shutdown()


def test_shutdown_can_cancel_what_waits():
    pool = SandboxExecutor(Policy(timeout=10), max_workers=1, python=PYTHON)
    first = pool.submit(time.sleep, 0.5)
    while not first.running():
        time.sleep(0.01)
    rest = [pool.submit(pow, 2, n) for n in range(3)]
    pool.shutdown(wait=False, cancel_futures=True)
    assert all(future.cancelled() for future in rest)
    assert first.result(timeout=10) is None


def test_it_works_with_asyncio(pool):
    import asyncio

    async def main():
        loop = asyncio.get_running_loop()
        results = await asyncio.gather(*(loop.run_in_executor(pool, pow, 2, n) for n in range(4)))
        task = asyncio.ensure_future(loop.run_in_executor(pool, time.sleep, 2.5))
        await asyncio.sleep(0.3)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return results

    assert asyncio.run(main()) == [1, 2, 4, 8]


def test_preloaded_modules_are_there():
    with SandboxExecutor(Policy(timeout=10), max_workers=1, preload="decimal", python=PYTHON) as pool:
        assert pool.submit(lambda: "decimal" in __import__("sys").modules).result() is True


def test_wrong_arguments_are_clear_errors():
    with pytest.raises(ValueError, match="max_workers"):
        SandboxExecutor(max_workers=0)
    with pytest.raises(TypeError, match="max_workers was given as well"):
        SandboxExecutor(3, max_workers=2)


def test_a_function_that_cannot_be_sent_is_the_futures_error(pool):
    lock = threading.Lock()
    assert isinstance(pool.submit(lambda: lock).exception(), SandboxError)


def test_nothing_but_the_library_is_needed(pool):
    assert pool.submit(lambda: "cloudpickle" in sys.modules).result() is False


def test_the_number_of_workers_may_come_first_as_with_other_executors():
    with SandboxExecutor(2, python=PYTHON) as pool:
        assert list(pool.map(abs, [-1, -2], timeout=30)) == [1, 2]
        assert pool._threads._max_workers == 2
