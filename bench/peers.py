"""What one could take instead of belljar, each doing one job: cold, from nothing to an evaluated expression and an ended process; warm,
from its pool or in its session where it has one. Whatever is not on this machine, or does not run, says why."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pathlib
import shutil
import subprocess
import tempfile
from collections.abc import Callable

from frame import COMMAND, HERE, PYTHON, STATES, Bench, Section, Side, Unavailable, reason_of
from parts import PIP_SECONDS, environment, expect, place_of_environments, spawn

from belljar import Policy, Sandbox, Template

WHEELS = ["--only-binary", ":all:"]
INSIDE = [PYTHON, "-I", "-c", "pass"]  # what the ones around a process start
PAUSES = {"host sleeping 8 ms": "8000 sleep\n", "host busy 8 ms": "8000 busy\n"}


# Gives what is done in each turn, with the pause of that state of the host before it, or raises Unavailable.
Start = Callable[[contextlib.ExitStack, str], Side]


@dataclasses.dataclass
class Peer:
    """`every`: how seldom it has its turns, if it is slow."""

    name: str
    isolates: str
    start: Start
    turns: int = 2
    every: int = 1


def needed(program: str, package: str) -> str:
    found = shutil.which(program)
    if not found:
        raise Unavailable(f"{package} is not installed (apt install {package})")
    return found


def started(state: str, *words: str) -> Side:
    return Side("", lambda: spawn(*words), STATES.get(state, lambda: None))


def command(*words: str, program: str = "", package: str = "") -> Start:
    """A peer that is started for each turn."""

    def start(stack: contextlib.ExitStack, state: str) -> Side:
        if program:
            needed(program, package)
        return started(state, *words)

    return start


def crun(stack: contextlib.ExitStack, state: str) -> Side:
    """The stock container of the tests, without cgroups. crun does not start where both versions of cgroups
    are mounted side by side: it gets a mount namespace in which the second is not seen, as a person would do there."""
    needed("crun", "crun")
    if os.geteuid() != 0:
        raise Unavailable("a container of crun is started by root here")
    if not os.path.exists("/usr/share/containers/seccomp.json"):
        raise Unavailable("its list of system calls is not there (apt install golang-github-containers-common)")
    folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="belljar-bench-"))
    (pathlib.Path(folder) / "stage").mkdir()
    maker = HERE.parent / "tests/container/make-bundle"
    done = subprocess.run([PYTHON, str(maker), "--stage", f"{folder}/stage", "--uid", "65534", "--writable", "/tmp", "--", f"{folder}/bundle", *INSIDE],
                          stderr=subprocess.PIPE, text=True)  # fmt: skip
    if done.returncode and not pathlib.Path(folder, "bundle").exists():
        pathlib.Path(folder, "bundle").mkdir()
        done = subprocess.run(done.args, stderr=subprocess.PIPE, text=True)
    if done.returncode:
        raise RuntimeError(done.stderr[-300:])
    run = ["crun", "--root", f"{folder}/state", "--cgroup-manager=disabled", "run", "--bundle", f"{folder}/bundle", "bench"]
    if os.path.ismount("/sys/fs/cgroup/unified"):
        hide = 'umount --lazy /sys/fs/cgroup/unified; exec "$@"'
        run = ["unshare", "--mount", "--propagation", "private", "sh", "-c", hide, "sh", *run]
    return started(state, *run)


def hosted(stack: contextlib.ExitStack, state: str, words: list[str]) -> Side:
    """A peer in a host of its own, which pauses and measures by itself: see peer_host.py."""
    log = stack.enter_context(tempfile.TemporaryFile("w+"))
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    process = stack.enter_context(
        subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True, env=clean)
    )
    stack.callback(process.kill)
    assert process.stdin and process.stdout
    send, receive = process.stdin, process.stdout

    def answer() -> str:
        line = receive.readline()
        if not line:
            log.seek(0)
            words = log.read().strip().splitlines() or [f"it ended with status {process.wait()}"]
            raise RuntimeError(words[-1])
        return line

    def turn() -> float:
        send.write(PAUSES.get(state, "0 busy\n"))
        send.flush()
        return float(answer())

    answer()
    return Side("", turn)


def library(name: str, package: str, peer: str) -> Start:
    return lambda stack, state: hosted(
        stack, state, [str(environment(name, [package], WHEELS) / "python"), "-P", str(HERE / "peer_host.py"), peer]
    )


def library_once(name: str, package: str, code: str) -> Start:
    """A library's cold start: an interpreter that imports it and evaluates."""
    return lambda stack, state: started(state, str(environment(name, [package], WHEELS) / "python"), "-I", "-c", code)


def pyodide(*more: str) -> Start:
    def start(stack: contextlib.ExitStack, state: str) -> Side:
        node, npm = needed("node", "nodejs"), needed("npm", "npm")
        place = place_of_environments() / "pyodide"
        package = place / "node_modules/pyodide"
        if not (package / "pyodide.mjs").exists():
            place.mkdir(parents=True, exist_ok=True)
            words = [
                npm,
                "install",
                "--loglevel=error",
                "--no-audit",
                "--no-fund",
                "--fetch-retries=1",
                "--prefix",
                str(place),
                "pyodide",
            ]
            done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=PIP_SECONDS)
            if done.returncode:
                said = [line for line in done.stdout.splitlines() if "ERR" in line or "error" in line]
                raise Unavailable(f"npm install pyodide: {' '.join(said[:3]) or 'failed'}")
        words = [node, str(HERE / "peer_host.mjs"), str(package), *more]
        return started(state, *words) if more else hosted(stack, state, words)

    return start


BWRAP = ["bwrap", "--ro-bind", "/", "/", "--proc", "/proc", "--dev", "/dev", "--unshare-all", "--die-with-parent"]
FIREJAIL = ["firejail", "--quiet", "--noprofile", "--seccomp", "--net=none", "--caps.drop=all", "--nonewprivs"]
NAMESPACES = "namespaces of its own and a read-only view of the whole file system; every system call of the kernel is open"
NO_WALL = "nothing: the code is rewritten in the host's own process; a hole in the rewriting is a hole in the host"
WALK = "nothing: the host's process walks the syntax tree itself; a hole in the walk is a hole in the host"
SANDLOCK = "by Landlock and seccomp, no namespaces; paths are checked by the kernel, a list of system calls is refused"
MONTY = "not CPython: an interpreter in Rust in a worker process, a subset of the language without its C modules"
PYODIDE = "CPython as WebAssembly in the process of Node; what is handed in from JavaScript is its world"

COLD = [
    Peer("bubblewrap", NAMESPACES, command(*BWRAP, *INSIDE, program="bwrap", package="bubblewrap")),
    Peer("firejail", "namespaces, a list of refused system calls, no network; the file system as the user sees it; a setuid program",
         command(*FIREJAIL, *INSIDE, program="firejail", package="firejail")),
    Peer("crun", "a stock container: namespaces, a root of its own, Docker's list of system calls, no capability; started by root", crun),
    Peer("sandlock", SANDLOCK, library("sandlock", "sandlock", "sandlock-run")),
    Peer("Monty", MONTY, lambda stack, state: started(state, str(environment("monty", ["pydantic-monty"], WHEELS) / "monty"), "-c", "1+1")),
    Peer("RestrictedPython", NO_WALL, library_once("restricted", "RestrictedPython", "from RestrictedPython import compile_restricted, "
         "safe_builtins; eval(compile_restricted('1+1', '<code>', 'eval'), {'__builtins__': safe_builtins})")),
    Peer("smolagents", WALK, library_once("smolagents", "smolagents", "from smolagents.local_python_executor import LocalPythonExecutor; "
         "executor = LocalPythonExecutor([]); executor.send_tools({}); executor('1+1')"), turns=1, every=3),
    Peer("Pyodide on Node", PYODIDE, pyodide("once"), turns=1, every=8),
]  # fmt: skip

FRESH = [
    *COLD[:3],  # these have no pool: each run is a cold start
    Peer("sandlock, Sandbox.fork(1)", SANDLOCK + "; a copy of the host's own process, its memory included", library("sandlock", "sandlock", "sandlock-fork"), 4),
    Peer("Monty, a fresh session of its pool", MONTY, library("monty", "pydantic-monty", "monty"), 12),
    Peer("RestrictedPython, in the host's process", NO_WALL, library("restricted", "RestrictedPython", "restricted"), 12),
    Peer("smolagents, a new executor", WALK, library("smolagents", "smolagents", "smolagents"), 12),
]  # fmt: skip

SESSION = [
    Peer("Monty, the same session", MONTY, library("monty", "pydantic-monty", "monty-session"), 12),
    Peer("smolagents, the same executor", WALK, library("smolagents", "smolagents", "smolagents-session"), 12),
    Peer("Pyodide on Node, the same interpreter", PYODIDE, pyodide(), 12),
]


def sides_of(peers: list[Peer], state: str, stack: contextlib.ExitStack) -> list[Side]:
    sides = []
    for peer in peers:
        try:
            side = peer.start(stack, state)
        except Exception as error:  # another's installer, another's program
            side = Side("", reason=reason_of(error))
        side.name, side.turns, side.every = peer.name, peer.turns, peer.every
        sides.append(side)
    return sides


def cold(bench: Bench) -> None:
    """From nothing to the end: a command or a library is started, evaluates one expression and ends. Those that start CPython start
    `python3 -I -c pass`; sandlock, which has no command on PyPI, is asked by a host that runs already."""
    with contextlib.ExitStack() as stack:
        ours = Side("belljar run -c pass", lambda: spawn(COMMAND, "run", "-c", "pass"), turns=2)
        plain = Side("python3 -I -c pass", lambda: spawn(*INSIDE), turns=2, kind="baseline")
        peers = sides_of(COLD, "", stack)
        bench.alternate([ours, plain, *peers], rounds=32, seconds=50)
        bench.row("a cold command", ours, plain, target=1.1)
        for peer, side in zip(COLD, peers, strict=True):
            target = 1.0 if peer.name == "bubblewrap" else None
            bench.row("a cold command", ours, side, target=target, detail=f"isolates: {peer.isolates}")


def warm(bench: Bench) -> None:
    """`1+1` where everything is ready: in something fresh (a guest of the pool, where the peer has a pool: else it is started), and in
    something that is used again (a session). The figure says how many times faster ours is. Two of the peers have no wall at all: they
    are here because people use them for this."""
    for state in ("host sleeping 8 ms", "host busy 8 ms"):
        pause = STATES[state]
        with contextlib.ExitStack() as stack:
            template = stack.enter_context(Template(Policy(), parked=2))
            session = stack.enter_context(Sandbox(Policy(timeout=60)))
            fresh = Side("Template.run", lambda: expect(template, "1+1", "2"), pause)  # noqa: B023
            used = Side("Sandbox.run_code", lambda: session.run_code("1+1"), pause)  # noqa: B023
            floor = Side("python3 -I -c 1+1", lambda: spawn(PYTHON, "-I", "-c", "1+1"), pause, turns=2, kind="baseline")
            many, few = sides_of(FRESH, state, stack), sides_of(SESSION, state, stack)
            bench.alternate([fresh, used, floor, *many, *few], rounds=24, seconds=30)
            bench.row("1+1 in something fresh", fresh, floor, state=state, at_least=True)
            for ours, name, peers, sides in (
                (fresh, "1+1 in something fresh", FRESH, many),
                (used, "1+1 in a session", SESSION, few),
            ):
                for peer, side in zip(peers, sides, strict=True):
                    detail = f"isolates: {peer.isolates}" if state == "host sleeping 8 ms" else ""
                    bench.row(name, ours, side, state=state, at_least=True, detail=detail)


SECTIONS = [Section("cold", "A cold command, and its peers", cold), Section("peers", "Warm peers", warm)]
