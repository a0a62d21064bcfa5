"""Parts of several benchmarks: programs that are started, the floors (a plain parked fork, a ping-pong of two Pythons), and
environments with packages from PyPI."""

from __future__ import annotations

import contextlib
import os
import pathlib
import signal
import socket
import stat
import subprocess
import time
from collections.abc import Sequence

from frame import ENVIRONMENT, HERE, PYTHON, TREE, Unavailable

from belljar import Template

ERRORS = os.memfd_create("stderr", os.MFD_CLOEXEC)  # what the last program wrote there
SILENT = [
    (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
    (os.POSIX_SPAWN_OPEN, 1, "/dev/null", os.O_WRONLY, 0),
    (os.POSIX_SPAWN_DUP2, ERRORS, 2),
]
PIP_SECONDS = 240


def spawn(*command: str) -> None:
    """Runs a program to its end, with as little of ours around it as there can be."""
    pid = os.posix_spawnp(command[0], command, ENVIRONMENT, file_actions=SILENT)
    try:
        _, status = os.waitpid(pid, 0)
    except TimeoutError:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        raise
    if status:
        said = os.pread(ERRORS, 100_000, 0).decode(errors="replace").strip().splitlines()[-1:]
        os.truncate(ERRORS, 0)
        raise RuntimeError(f"{command[0]} ended with status {os.waitstatus_to_exitcode(status)}: {' '.join(said)}")


def output_of(*command: str) -> str:
    """What a program prints."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=ENVIRONMENT, text=True)
    if done.returncode:
        raise RuntimeError(f"{command[0]} ended with status {done.returncode}: {done.stderr[-300:].strip()}")
    return done.stdout


def expect(template: Template, code: str, text: str) -> None:
    execution = template.run(code)
    if execution.text != text:
        raise RuntimeError(f"{code!r} gave {execution.text!r} ({execution.verdict}): {execution.error}")


def modules_of(template: Template) -> list[str]:
    """What the zygote has imported, so that its peers can import the same."""
    execution = template.run("import sys; print(','.join(sorted(sys.modules)))")
    return [name for name in execution.stdout.strip().split(",") if not name.startswith(("belljar", "_belljar"))]


# ---- Floors ---------------------------------------------------------------------------------------------------


class PlainFork(contextlib.AbstractContextManager["PlainFork"]):
    """A parked, warmed child of a plain Python with the same modules: no lockdown, no limits, no streams. park(), then run()."""

    def __init__(self, modules: Sequence[str]) -> None:
        self.control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.process = subprocess.Popen([PYTHON, "-I", str(HERE / "plain_fork.py"), "park", ",".join(modules)],
                                        stdin=theirs.fileno(), env=ENVIRONMENT)  # fmt: skip
        theirs.close()

    def park(self) -> None:
        self.control.send(b"+")
        _, fds, _, _ = socket.recv_fds(self.control, 16, 1)
        self.child = socket.socket(fileno=fds[0])
        self.child.recv(1)

    def run(self, code: str) -> bytes:
        self.child.sendall(code.encode())
        return self.child.recv(65536)

    def __exit__(self, *_: object) -> None:
        self.control.close()
        self.process.wait()


PONG = """
import socket, sys
end = socket.socket(fileno=int(sys.argv[1]))
while data := end.recv(65536):
    end.sendall(data)
"""


class Pong(contextlib.AbstractContextManager["Pong"]):
    """Another plain Python that sends back what it gets. `cpus`: where it may run (the caller's, if None)."""

    def __init__(self, cpus: set[int] | None = None) -> None:
        self.end, theirs = socket.socketpair()
        command = [PYTHON, "-I", "-c", PONG, str(theirs.fileno())]
        self.process = subprocess.Popen(command, pass_fds=[theirs.fileno()], env=ENVIRONMENT)
        theirs.close()
        if cpus is not None:
            os.sched_setaffinity(self.process.pid, cpus)
        self.trip()

    def trip(self) -> None:
        self.end.sendall(b"x" * 32)
        self.end.recv(64)

    def trips(self, count: int) -> float:
        """Seconds for one, out of so many."""
        start = time.perf_counter()
        for _ in range(count):
            self.trip()
        return (time.perf_counter() - start) / count

    def __exit__(self, *_: object) -> None:
        self.end.close()
        self.process.wait()


# ---- Packages from PyPI ---------------------------------------------------------------------------------------


def place_of_environments() -> pathlib.Path:
    """A folder that everybody reaches: belljar becomes another user if root starts it."""
    if all(parent.stat().st_mode & stat.S_IXOTH for parent in (TREE, *TREE.parents)):
        return TREE / ".venv-bench"
    return pathlib.Path(f"/var/tmp/belljar-bench-{os.getuid()}")


def environment(name: str, packages: Sequence[str], extra: Sequence[str] = ()) -> pathlib.Path:
    """An environment with these packages, made once: gives the folder of its programs. `extra`: options of pip."""
    place = place_of_environments() / name
    wanted = " ".join((*extra, *packages)) + "\n"
    made = place / "packages.txt"
    if made.exists() and made.read_text() == wanted:
        return place / "bin"
    place.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    done = subprocess.run(
        [PYTHON, "-m", "venv", "--clear", str(place)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    if done.returncode:
        raise Unavailable("there is no ensurepip to make an environment with (apt install python3-venv)")
    command = [str(place / "bin/pip"), "install", "--quiet", "--disable-pip-version-check", "--retries", "1", *extra, *packages]
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=PIP_SECONDS,
                              stdin=subprocess.DEVNULL)  # fmt: skip
    except subprocess.TimeoutExpired:
        raise Unavailable(f"pip install {' '.join(packages)} was not done in {PIP_SECONDS} s") from None
    if done.returncode:
        lines = [line for line in done.stdout.splitlines() if line.startswith("ERROR")] or done.stdout.splitlines()[-1:]
        raise Unavailable(f"pip install {' '.join(packages)}: {lines[-1] if lines else 'failed'}")
    made.write_text(wanted)
    return place / "bin"


# ---- A state, and a plain Python that copies itself with it, a line each -----------------------------------------

STATE = "state = [bytes([n % 256]) * 4096 for n in range({pages})]"
FORKER = """
import os, sys, time
{state}
print("ready", flush=True)
for line in sys.stdin:
    reader, writer = os.pipe()
    begun = time.perf_counter()
    pid = os.fork()
    if pid == 0:
        os.write(writer, b"x")
        os._exit(0)
    os.read(reader, 1)
    took = time.perf_counter() - begun
    os.waitpid(pid, 0)
    os.close(reader)
    os.close(writer)
    print(took, flush=True)
"""
