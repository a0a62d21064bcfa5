"""`audit_only`: a program that is trusted runs without the jar, and what the policy would refuse of what it does is told.

**Nothing is confined.** It is for whoever writes a policy for a program of their own. It never applies by a policy file, to a
session, a template, a language policy or a service: only `belljar.run` and `belljar run --audit-only` do it, and say so."""

from __future__ import annotations

import json
import os
import selectors
import shutil
import subprocess
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from typing import Any

from belljar._core import core
from belljar._execution import Execution, observed
from belljar._interpreter import callers_level
from belljar._job import Job
from belljar._policy import Policy, for_template, has_language
from belljar.errors import AuditOnlyWarning, PolicyError, SandboxError

__all__ = ["WARNING", "Observed", "observe", "run"]

WARNING = ("audit_only: this program is NOT CONFINED; it runs with all of your rights, and what the policy would refuse is only told; "
           "never for code that you do not trust")  # fmt: skip

Tell = Callable[[tuple[str, str, str, str]], object]

# Runs in the jar, so that the words are those that a guest of this policy is told.
_ASK = """
import os, socket
for attempt in (lambda: socket.socket().close(), lambda: os.execv("/nonexistent", ["x"]), lambda: os.kill(1, 0)):
    try:
        attempt()
    except OSError:
        pass
"""
_KINDS = {"socket": "network", "execve": "processes", "kill": "signals"}


def _words(policy: Policy, python: str | None) -> dict[str, tuple[str, str]]:
    """Rules and hints of what the policy refuses apart from files. `StartError` if no guest can have it."""
    template = core.Template(for_template(policy, (), python), 0)
    try:
        guest = template.take()
        try:
            result = guest.run(_ASK.encode())
            guest.complete(result)
        finally:
            guest.close()
    finally:
        template.close()
    return {_KINDS[op]: (rule, hint) for op, _, rule, hint in result.violations if op in _KINDS}


class Observed:
    """What a program came to, and what would have been refused."""

    def __init__(self) -> None:
        self.refused: list[tuple[str, str, str, str]] = []
        self.outcome: dict[str, Any] | None = None
        self.status = 0
        self.output = {1: bytearray(), 2: bytearray()}
        self.is_over_time = False
        self.wall_ms = 0.0
        self._rest = b""

    def hear(self, data: bytes, tell: Tell) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            record = json.loads(line)
            if "refused" in record:
                op, target, rule, hint = record["refused"]
                self.refused.append((op, target, rule, hint))
                tell(self.refused[-1])
            else:
                self.outcome = record["outcome"]


def _start(settings: dict[str, Any], python: str, environment: dict[str, str], cwd: str, **streams: Any) -> tuple[Any, int]:
    """(the process, the descriptor of its records)."""
    given = os.memfd_create("settings", 0)
    reader, writer = os.pipe()
    try:
        os.write(given, json.dumps(settings).encode())
        os.lseek(given, 0, os.SEEK_SET)
        observer = os.path.join(os.path.dirname(os.path.abspath(__file__)), "_observer.py")
        process = subprocess.Popen([python, "-B", "-X", "utf8", observer, str(given), str(writer)], env=environment, cwd=cwd,
                                   pass_fds=(given, writer), **streams)  # fmt: skip
    except OSError as error:
        os.close(reader)
        raise SandboxError(f"audit_only: {python}: {error.strerror}", "interpreter", error.errno or 0) from None
    finally:
        os.close(given)
        os.close(writer)
    return process, reader


def _follow(found: Observed, process: Any, records: int, tell: Tell, on_output: Any, seconds: float | None) -> None:
    """Reads all that it says until it ends."""
    begin = time.monotonic()
    with selectors.DefaultSelector() as selector:
        streams: dict[int, int] = {records: 0}
        for stream, pipe in ((1, process.stdout), (2, process.stderr)):
            if pipe is not None:
                streams[pipe.fileno()] = stream
        for fd in streams:
            selector.register(fd, selectors.EVENT_READ)
        while selector.get_map():
            left = None if seconds is None else seconds - (time.monotonic() - begin)
            events = selector.select(None if left is None else max(left, 0))
            if not events and left is not None and left <= 0:
                found.is_over_time = True
                process.kill()
                break
            for key, _ in events:
                data = os.read(key.fd, 65536)
                if not data:
                    selector.unregister(key.fd)
                elif streams[key.fd] == 0:
                    found.hear(data, tell)
                else:
                    found.output[streams[key.fd]] += data
                    if on_output is not None:
                        on_output(streams[key.fd], data)
    found.status = process.wait()
    found.wall_ms = (time.monotonic() - begin) * 1000


def observe(
    policy: Policy, program: dict[str, Any], *, tell: Tell, python: str | None = None, files: Sequence[tuple[str, bytes]] = (),
    on_output: Any = None, seconds: float | None = None, left: dict[str, bytes] | None = None, **streams: Any,
) -> Observed:  # fmt: skip
    """Runs a program without a jar. Its own files lie in a folder that is gone afterwards; `left` gets what it leaves there."""
    if has_language(policy) or policy.options["profile"] != "full":
        raise PolicyError("audit_only tells what the open policy would refuse: a language policy and the profile \"compute\" "
                          "cannot be told in this way", "policy")  # fmt: skip
    plain = policy.replace(audit_only=False)
    words = _words(plain, python)
    options = plain.options
    scratch = tempfile.mkdtemp(prefix="belljar-audit-only-")
    found = Observed()
    try:
        for name, content in files:
            path = os.path.join(scratch, name.removeprefix("/work/"))
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "wb") as file:
                file.write(content)
        cwd = options.get("cwd") or scratch
        environment = {"PATH": os.environ.get("PATH", os.defpath), "HOME": scratch, "TMPDIR": scratch, **(options.get("env") or {})}
        if options["seed"] is not None:
            environment["PYTHONHASHSEED"] = str(options["seed"])
        settings = {
            "module": None, "is_file": False, "last_value": False, "shows_errors": False, "path0": scratch, "words": words,
            "scratch": scratch, "mounts": [row[:3] for row in core_mounts(plain)], **program,
        }  # fmt: skip
        interpreter = python or options["python"]
        if os.path.isdir(interpreter):
            interpreter = os.path.join(interpreter, "bin/python3")
        process, records = _start(settings, interpreter, environment, cwd, **streams)
        try:
            _follow(found, process, records, tell, on_output, seconds)
        finally:
            os.close(records)
            if process.poll() is None:
                process.kill()
                process.wait()
        for folder, _, names in os.walk(scratch):
            for name in names:
                path = os.path.join(folder, name)
                if left is not None and os.path.isfile(path) and not os.path.islink(path):
                    with open(path, "rb") as file:
                        left[os.path.relpath(path, scratch)] = file.read()
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return found


def core_mounts(policy: Policy) -> list[tuple[str, str, str, str]]:
    """The tree that guests of a policy see."""
    return for_template(policy, (), None).mounts()


def run(code: bytes, job: Job, policy: Policy, python: str | os.PathLike[str] | None) -> Execution:
    """`belljar.run` with audit_only=True."""
    warnings.warn(WARNING, AuditOnlyWarning, stacklevel=callers_level())
    if other := [name for name in ("on_input", "ask", "on_frame") if job.get(name) is not None]:
        raise PolicyError(f"audit_only: stdin is text, bytes or an open file here, and no function ({other[0]})", "policy")
    data = job.get("stdin_bytes", b"")
    with tempfile.TemporaryFile() as file:
        file.write(data)
        file.seek(0)
        stdin = job["stdin_fd"] if "stdin_fd" in job else file
        filename = job.get("filename") or "<code>"
        program = {"code": code.decode("utf-8", "surrogatepass"), "filename": filename, "argv": job.get("argv") or [filename],
                   "last_value": True}  # fmt: skip
        timeout_ms = job.get("wall_ms")
        seconds = policy.options["timeout"] if timeout_ms is None else timeout_ms / 1000 if timeout_ms > 0 else None
        left: dict[str, bytes] = {}
        handed = job.get("files") or []
        found = observe(policy, program, tell=lambda _: None, python=os.fsdecode(python) if python is not None else None, files=handed,
                        on_output=job.get("on_output"), seconds=seconds or None, left=left, stdin=stdin, stdout=subprocess.PIPE,
                        stderr=subprocess.PIPE)  # fmt: skip
    outcome = found.outcome or {}
    if found.is_over_time:
        verdict, status = "timeout", 124
    elif found.status < 0:
        verdict, status = "crashed", 128 - found.status
    else:
        verdict, status = "ok" if found.status == 0 else "error", found.status
    before = dict(handed)
    changed = {name: content for name, content in left.items() if before.get(name) != content}
    error = outcome.get("error")
    told = (str(error[0]), str(error[1]), str(error[2])) if error is not None else None
    return observed(verdict, status, -found.status if found.status < 0 else 0, bytes(found.output[1]), bytes(found.output[2]),
                    told, outcome.get("text"), found.wall_ms, found.refused, changed)  # fmt: skip
