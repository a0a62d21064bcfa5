"""The host of one peer that is a Python library, in the environment where that is installed: peer_host.py PEER. It evaluates `1+1`.

For each line on standard input, a number of microseconds and how to spend them ("8000 sleep", "3000 busy"), it pauses so long,
evaluates once and prints the seconds that that took. Run by peers.py."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

CODE = "1+1"


def sandlock_run() -> Callable[[], object]:
    """An interpreter is started in it for each run."""
    from sandlock import Sandbox  # type: ignore[import]

    sandbox = Sandbox(fs_readable=["/usr", "/lib", "/lib64", "/bin", "/etc", "/proc", "/dev"])

    def run() -> object:
        result = sandbox.run(["/usr/bin/python3", "-I", "-c", "pass"], timeout=30)
        return 2 if result.success else result

    return run


def sandlock_fork() -> Callable[[], object]:
    """What it has in the place of a pool: a copy of this process, confined, of which the function is called."""
    from sandlock import Sandbox

    read = ["/usr", "/lib", "/lib64", "/bin", "/etc", "/proc", "/dev", sys.prefix]
    sandbox = Sandbox(fs_readable=read, init_fn=lambda: None, work_fn=lambda number: eval(CODE, {}))

    def run() -> object:
        return 2 if len(sandbox.fork(1).pids) == 1 else None

    return run


def monty() -> Callable[[], object]:
    """A fresh session of a worker of its pool."""
    from pydantic_monty import Monty  # type: ignore[import]

    pool = Monty(min_processes=2).__enter__()

    def run() -> object:
        with pool.checkout() as session:
            return session.feed_run(CODE)

    return run


def monty_session() -> Callable[[], object]:
    from pydantic_monty import Monty

    session = Monty(min_processes=1).__enter__().checkout().__enter__()
    return lambda: session.feed_run(CODE)


def restricted() -> Callable[[], object]:
    from RestrictedPython import compile_restricted, safe_builtins  # type: ignore[import]

    return lambda: eval(compile_restricted(CODE, "<code>", "eval"), {"__builtins__": safe_builtins})


def smolagents() -> Callable[[], object]:
    """A new executor for each run."""
    from smolagents.local_python_executor import LocalPythonExecutor

    def run() -> object:
        executor = LocalPythonExecutor([])
        executor.send_tools({})
        return executor(CODE).output

    return run


def smolagents_session() -> Callable[[], object]:
    from smolagents.local_python_executor import LocalPythonExecutor

    executor = LocalPythonExecutor([])
    executor.send_tools({})
    return lambda: executor(CODE).output


PEERS: dict[str, Callable[[], Callable[[], Any]]] = {
    "sandlock-run": sandlock_run, "sandlock-fork": sandlock_fork, "monty": monty, "monty-session": monty_session,
    "restricted": restricted, "smolagents": smolagents, "smolagents-session": smolagents_session}  # fmt: skip


def main() -> None:
    run = PEERS[sys.argv[1]]()
    if run() != 2:
        raise SystemExit(f"{sys.argv[1]}: {CODE} gave {run()!r}")
    print("ready", flush=True)
    for line in sys.stdin:
        pause, kind = int(line.split()[0]) / 1e6, line.split()[1]
        end = time.perf_counter() + pause
        if kind == "sleep":
            time.sleep(pause)
        while time.perf_counter() < end:
            pass
        start = time.perf_counter()
        run()
        took = time.perf_counter() - start
        print(took, flush=True)


if __name__ == "__main__":
    main()
