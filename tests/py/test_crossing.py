"""What a program may do to itself, under every kind of policy and through every face: one table, of which each cell is tried."""

from __future__ import annotations

import asyncio
import ast
import json
import pathlib
import subprocess
import textwrap
import time
from collections.abc import Callable
from typing import Any

import pytest
from belljar import AsyncSandbox, Execution, Output, Policy, Sandbox, SandboxError, SandboxExecutor, Template, arun, run
from test_mcp import COMMAND, Server

pytestmark = pytest.mark.core
PYTHON = "/usr/bin/python3"

NAMED = {
    "os": "kill killpg getpid getpgrp sched_setscheduler sched_setparam sched_param SCHED_OTHER SCHED_BATCH sendfile splice copy_file_range open read path "
    "stat lstat listdir access readlink getuid umask",
    "signal": "signal setitimer ITIMER_REAL SIGALRM SIGUSR1",
    "resource": "setrlimit getrlimit RLIMIT_STACK",
    "socket": "socketpair",
    "threading": "Thread",
    "time": "sleep",
}
MODULES = [*NAMED]
LANGUAGE = {
    "feature": ["everyday", "stdin", "stdout"],
    "allow_safe_module": [f"{module}:{','.join(names.split())}" for module, names in NAMED.items()],
}
POLICIES: dict[str, dict[str, Any]] = {
    "open": {},
    "compute": {"profile": "compute", "preload": MODULES},
    "language": LANGUAGE,
    "both": {**LANGUAGE, "profile": "compute", "preload": MODULES},
}

# A refusal by its rule, and another error by its name.
BEGIN = """
def said(call, *arguments):
    try: return call(*arguments)
    except Exception as error:
        text = str(error)
        return text.partition("rule: ")[2].partition(";")[0] or type(error).__name__
"""
HEARS = "import signal\nheard = []\ndef hear():\n    signal.signal(signal.SIGUSR1, lambda *_: heard.append(1))\n"
STORM = """
import os, signal
def storm(ask):
    ticks, expected = [], ask()
    signal.signal(signal.SIGALRM, lambda *_: ticks.append(1))
    signal.setitimer(signal.ITIMER_REAL, 0.0003, 0.0003)
    while len(ticks) < 50:
        if ask() != expected: return False
    signal.setitimer(signal.ITIMER_REAL, 0)
    return True
"""
GIVEN = "given"
# claim -> code whose last line is an expression, and its value by policy; "": all others.
CLAIMS: dict[str, tuple[str, dict[str, Any]]] = {
    "it may ask for itself and its group": (
        "import os\n[said(*ask) for ask in ((os.kill, os.getpid(), 0), (os.killpg, 0, 0), (os.killpg, os.getpgrp(), 0), (os.kill, 1, 0), (os.killpg, os.getpgrp() + 99, 0))]",
        {"": [None, None, None, "processes", "processes"]},
    ),
    "a signal to its group comes": (
        HEARS + "import os\nsaid(hear) or (os.killpg(os.getpgrp(), signal.SIGUSR1), heard)",
        {"": (None, [1]), "compute": "threads", "both": "threads"},
    ),
    "it has the scheduler that it has": (
        "import os\nleast = os.sched_param(0)\n[said(os.sched_setscheduler, 0, os.SCHED_OTHER, least), said(os.sched_setparam, os.getpid(), least),"
        " said(os.sched_setscheduler, 0, os.SCHED_BATCH, least)]",
        {"": [None, None, "limits"]},
    ),
    "the kernel copies for nobody": (
        "import os\n[said(os.sendfile, 1, 0, 0, 9), said(os.splice, 0, 1, 9), said(os.copy_file_range, 0, 1, 9)]",
        {"": ["system"] * 3},
    ),
    "a pair passes bytes alone": (
        "import socket\ndef pair():\n    a, b = socket.socketpair()\n    return a.send(b'x'), b.recv(1), said(b.recvmsg, 1)\nsaid(pair)",
        {"": (1, b"x", "network"), "compute": "network", "both": "network"},
    ),
    "its stack may become smaller": (
        "import resource\nstack = resource.RLIMIT_STACK; soft, hard = resource.getrlimit(stack)\n[said(resource.setrlimit, stack, (soft // 2, hard)),"
        " resource.getrlimit(stack) == (soft // 2, hard), said(resource.setrlimit, stack, (-1, -1))]",
        {"": [None, True, "limits"]},
    ),
    "its input is read": ("import sys\nsys.stdin.read()", {"": GIVEN}),
    "its input has a name": ("said(lambda: open('/dev/stdin').read())", {"": "PermissionError", "open": GIVEN, "compute": "files"}),
    "its input has a number": (
        "import os\nsaid(lambda: os.read(os.open('/dev/fd/0', 0), 9))",
        {"": GIVEN.encode(), "compute": "files", "both": "files"},
    ),
    "its input has a name in a thread": (
        "import os, threading\nread = []\ndef look(): read.append(said(lambda: os.read(os.open('/dev/stdin', 0), 9)))\n"
        "def begin():\n    thread = threading.Thread(target=look); thread.start(); thread.join()\nsaid(begin), read",
        {"": (None, [GIVEN.encode()]), "compute": ("threads", []), "both": ("threads", [])},
    ),
    "a signal cuts off no file call": (
        STORM + "said(storm, lambda: (os.path.exists('none'), os.stat('.').st_mode, os.listdir('/tmp'), os.access('/', 4), os.path.isdir('/tmp')))",
        {"": True, "compute": "files", "both": "files"},
    ),
    "a signal cuts off no call on itself": (
        STORM + "said(storm, lambda: (os.kill(os.getpid(), 0), os.getpgrp(), os.getuid(), os.umask(0o22)))",
        {"": True, "compute": "threads", "both": "threads"},
    ),
    "a signal cuts off what waits": (
        "import signal, time\ndef stop(*_): raise InterruptedError\ndef wait():\n    signal.signal(signal.SIGALRM, stop)\n"
        "    signal.setitimer(signal.ITIMER_REAL, 0.02); time.sleep(60)\nsaid(wait)",
        {"": "InterruptedError", "compute": "threads", "both": "threads"},
    ),
}  # fmt: skip


def as_options(policy: dict[str, Any]) -> list[str]:
    """A policy as words of the command line."""
    words = []
    for key, value in policy.items():
        for one in value if isinstance(value, list) else [value]:
            words += [f"--{key.replace('_', '-')}", str(one)]
    return words


def printed(code: str) -> str:
    """The program, with the value of its last line as text of Python."""
    body, _, last = code.rpartition("\n")
    return f"{BEGIN}{body}\nprint(repr(({last})))"


def by_run(policy: dict[str, Any], codes: list[str]) -> list[str]:
    return [run(code, Policy(timeout=30, **policy), stdin=GIVEN, python=PYTHON).stdout for code in codes]


def by_template(policy: dict[str, Any], codes: list[str]) -> list[str]:
    with Template(Policy(timeout=30, **policy), python=PYTHON) as template:
        return [template.run(code, stdin=GIVEN).stdout for code in codes]


def by_session(policy: dict[str, Any], codes: list[str]) -> list[str]:
    with Template(Policy(timeout=30, **policy), python=PYTHON) as template:
        told = []
        for code in codes:
            with Sandbox(template=template, stdin=GIVEN) as session:
                session.run_code("1")  # it is not the first run
                told.append(session.run_code(code).stdout)
        return told


def by_stream(policy: dict[str, Any], codes: list[str]) -> list[str]:
    with Template(Policy(timeout=30, **policy), python=PYTHON) as template:
        told = []
        for code in codes:
            with Sandbox(template=template, stdin=GIVEN) as session:
                told.append("".join(piece.text for piece in session.stream(code) if isinstance(piece, Output)))
        return told


def as_function(code: str) -> Callable[[], Any]:
    """A program as a function of the host's, which travels."""
    made: dict[str, Any] = {}
    body, _, last = code.rpartition("\nprint(repr((")
    exec(f"def claim():\n{textwrap.indent(body, '    ')}\n    return {last.removesuffix(')))')}", made)
    return made["claim"]  # type: ignore[no-any-return]


def by_call(policy: dict[str, Any], codes: list[str]) -> list[str]:
    with Template(Policy(timeout=30, **policy), python=PYTHON) as template:
        told = []
        for code in codes:
            with Sandbox(template=template, stdin=GIVEN) as session:
                told.append(repr(session.call(as_function(code))))
        return told


def by_executor(policy: dict[str, Any], codes: list[str]) -> list[str]:
    with SandboxExecutor(Policy(timeout=30, **policy), max_workers=2, python=PYTHON) as executor:
        return [repr(future.result()) for future in [executor.submit(as_function(code)) for code in codes]]


def by_a_fork(policy: dict[str, Any], codes: list[str]) -> list[str]:
    with Template(Policy(timeout=30, **policy), python=PYTHON) as template:
        told = []
        for code in codes:
            with Sandbox(template=template, stdin=GIVEN) as session:
                session.run_code("1")
                try:
                    branch = session.fork()
                except SandboxError as error:
                    pytest.skip(f"this machine forks no session: {error}")
                with branch:
                    told.append(branch.run_code(code).stdout)
        return told


def by_async_sessions(policy: dict[str, Any], codes: list[str]) -> list[str]:
    async def all_of() -> list[str]:
        async def one(code: str) -> str:
            async with AsyncSandbox(Policy(timeout=30, **policy), python=PYTHON, stdin=GIVEN) as session:
                return (await session.run_code(code)).stdout

        return [await one(code) for code in codes]

    return asyncio.run(all_of())


def by_arun(policy: dict[str, Any], codes: list[str]) -> list[str]:
    async def all_of() -> list[str]:
        return [(await arun(code, Policy(timeout=30, **policy), stdin=GIVEN, python=PYTHON)).stdout for code in codes]

    return asyncio.run(all_of())


def by_the_command(policy: dict[str, Any], codes: list[str]) -> list[str]:
    words = [COMMAND, "run", "--python", PYTHON, "--timeout", "30", *as_options(policy), "-c"]
    return [subprocess.run([*words, code], input=GIVEN, capture_output=True, text=True, timeout=90).stdout for code in codes]


def by_mcp(policy: dict[str, Any], codes: list[str]) -> list[str]:
    with Server("--python", PYTHON, "--timeout", "30", *as_options(policy)) as server:
        return [server.run(code)["structuredContent"]["output"][0] for code in codes]


FACES: dict[str, Callable[[dict[str, Any], list[str]], list[str]]] = {
    "run": by_run, "template": by_template, "session": by_session, "stream": by_stream, "call": by_call, "executor": by_executor, "fork": by_a_fork, "async": by_async_sessions, "arun": by_arun,
    "command": by_the_command, "mcp": by_mcp,
}  # fmt: skip


@pytest.mark.parametrize("face", FACES)
@pytest.mark.parametrize("policy", POLICIES)
def test_every_claim_by_every_face_under_every_policy(policy: str, face: str) -> None:
    has_input = face not in ("mcp", "fork", "executor")  # a fork's is its own, and empty
    claims = {claim: row for claim, row in CLAIMS.items() if has_input or "input" not in claim}
    told = FACES[face](POLICIES[policy], [printed(code) for code, _ in claims.values()])
    found = {claim: ast.literal_eval(text) if text else "nothing" for claim, text in zip(claims, told)}
    assert found == {claim: values.get(policy, values[""]) for claim, (_, values) in claims.items()}


# ---- What leaves no record -----------------------------------------------------------------------------------------

QUIET = {
    "its input to the end": "import sys\nassert sys.stdin.read() == 'given'",
    "its input by lines": "import sys\nassert [line for line in sys.stdin] == ['given']",
    "its input by the prompt": "assert input('? ') == 'given'",
    "its output": "print('x', flush=True)",
}


@pytest.mark.parametrize("policy", POLICIES)
def test_what_every_program_does_leaves_no_record(policy: str) -> None:
    with Template(Policy(timeout=30, **POLICIES[policy]), python=PYTHON) as template:
        for claim, code in QUIET.items():
            told = template.run(code, stdin=GIVEN)
            assert (told.verdict, told.violations) == ("ok", []), (claim, told)


@pytest.mark.parametrize("policy", POLICIES)
def test_where_it_is_in_a_pipe_is_told_as_by_a_kernel_and_in_a_file_it_is_told(policy: str) -> None:
    language = {**LANGUAGE, "allow_safe_module": ["os:lseek,open,O_RDWR,O_CREAT,write"]} if "feature" in POLICIES[policy] else {}
    code = (
        f"{BEGIN}import os\ndef where():\n    made = os.open('made', os.O_RDWR | os.O_CREAT); os.write(made, b'abc')\n    return os.lseek(made, 0, 1)\n"
        "def error(number):\n    try: return os.lseek(number, 0, 1)\n    except OSError as error: return error.errno\n"
        "error(0), error(1), said(where)"
    )
    told = run(code, Policy(timeout=30, **{**POLICIES[policy], **language}), stdin=GIVEN, python=PYTHON)
    assert told.value == (29, 29, 3 if policy in ("open", "language") else "files"), told


# ---- The text of warm= ---------------------------------------------------------------------------------------------

WARM = "1 / 0"
NAMED_WARM = "the text of warm= raised ZeroDivisionError: division by zero"


def warned(made: Callable[[], Execution]) -> Execution:
    with pytest.warns(RuntimeWarning, match=NAMED_WARM):
        return made()


def warm_run(policy: Policy) -> list[str]:
    return [warned(lambda: run("print('ran')", policy, python=PYTHON)).stderr]


def warm_template(policy: Policy) -> list[str]:
    with Template(policy, python=PYTHON, parked=1) as template:
        return [warned(lambda: template.run("print('ran')")).stderr]


def warm_session(policy: Policy) -> list[str]:
    with Template(policy, python=PYTHON, parked=1) as template, Sandbox(template=template) as session:
        first = warned(lambda: session.run_code("print('ran')"))
        assert session.run_code("1").stderr == ""
        return [first.stderr]


def warm_async(policy: Policy) -> list[str]:
    async def both() -> list[str]:
        with pytest.warns(RuntimeWarning, match=NAMED_WARM):
            alone = await arun("print('ran')", policy, python=PYTHON)
        with Template(policy, python=PYTHON, parked=1) as template:
            async with AsyncSandbox(template=template) as session:
                with pytest.warns(RuntimeWarning, match=NAMED_WARM):
                    first = await session.run_code("print('ran')")
        return [alone.stderr, first.stderr]

    return asyncio.run(both())


WARM_FACES = [warm_run, warm_template, warm_session, warm_async]


@pytest.mark.parametrize("made", WARM_FACES)
@pytest.mark.parametrize("policy", POLICIES)
def test_a_warm_text_that_raises_is_named_by_every_face(policy: str, made: Callable[[Policy], list[str]]) -> None:
    own = 30 + WARM_FACES.index(made)  # of what is kept for a policy it is warned once
    for stderr in made(Policy(timeout=own, warm=WARM, **POLICIES[policy])):
        assert stderr.startswith("belljar: " + NAMED_WARM) and stderr.count("\n") == 1, stderr


@pytest.mark.parametrize("policy", POLICIES)
def test_a_warm_text_that_raises_is_named_by_the_commands(policy: str, tmp_path: pathlib.Path) -> None:
    file = tmp_path / "policy.json"
    file.write_text(json.dumps({"warm": WARM}))
    words = ["--policy", str(file), "--python", PYTHON, "--timeout", "30", *as_options(POLICIES[policy])]
    done = subprocess.run([COMMAND, "run", *words, "-c", "print('ran')"], capture_output=True, text=True, timeout=90)
    assert (done.returncode, done.stdout) == (0, "ran\n") and done.stderr.startswith("belljar: " + NAMED_WARM), done
    with Server(*words) as server:
        for _ in range(50):  # the first guests may be cold: they were waited for
            first, *rest = server.run("print('ran')")["structuredContent"]["output"]
            assert first == "ran"
            if rest:
                break
            time.sleep(0.1)
    assert rest[0].startswith("belljar: " + NAMED_WARM), rest


# ---- A small stack -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["run", "mcp"])
@pytest.mark.parametrize("policy", POLICIES)
def test_a_stack_that_is_too_small_is_named_and_the_next_is_enough(policy: str, command: str) -> None:
    options = " ".join(f"'{word}'" for word in ["--python", PYTHON, *as_options(POLICIES[policy])])
    end = "-c 'print(6 * 7)'" if command == "run" else "< /dev/null"
    for stack, told in (64, "64 KiB"), (256, None):
        done = subprocess.run(
            ["sh", "-c", f"ulimit -s {stack}; exec {COMMAND} {command} {options} {end}"], capture_output=True, text=True, timeout=90
        )
        if told is None:
            assert done.returncode == 0 and "stack" not in done.stderr, done
            assert done.stdout == ("42\n" if command == "run" else ""), done
        else:
            assert done.returncode != 0 and told in done.stderr and "ulimit -s" in done.stderr, done
