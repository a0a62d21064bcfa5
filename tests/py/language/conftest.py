"""The language policy in plain processes and in the jar, on every Python that BELLJAR_PYTHONS names (paths with : between)."""

from __future__ import annotations

import importlib
import dataclasses
import json
import os
import pathlib
import resource
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

HERE = pathlib.Path(__file__).resolve().parent
TREE = HERE.parents[2]
SECONDS = 20.0


def load_module(name: str) -> types.ModuleType:
    """A module of the package by itself: these tests need no build. Leaves no trace, so that others import the real one."""
    before = {key: module for key, module in sys.modules.items() if key.partition(".")[0] == "belljar"}
    package = types.ModuleType("belljar")
    package.__path__ = [str(TREE / "python" / "belljar")]
    for key in before:
        del sys.modules[key]
    sys.modules["belljar"] = package
    try:
        return importlib.import_module(name)
    finally:
        for key in [key for key in sys.modules if key.partition(".")[0] == "belljar"]:
            del sys.modules[key]
        sys.modules.update(before)


config_module = load_module("belljar.config")
SandboxConfig = config_module.SandboxConfig


@dataclass
class Outcome:
    error: str | None  # name of the exception's type; "crash" or "stopped" if there was no answer
    message: str
    text: str  # as format_exception() shows it
    reached: bool
    stdout: str
    stderr: str


def pythons() -> list[str]:
    named = [path for path in os.environ.get("BELLJAR_PYTHONS", "").split(":") if path]
    return [sys.executable, *named]


@pytest.fixture(scope="session")
def extension(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    sources = sorted((TREE / "language").glob("*.c"))
    compiler = shutil.which("cc")
    if not sources:
        pytest.skip("the sources of the guest are not here")
    if not compiler:
        pytest.skip("no C compiler")
    directory = tmp_path_factory.mktemp("language")
    include = sysconfig.get_path("include")
    subprocess.run(
        [
            compiler,
            "-std=gnu11",
            "-O2",
            "-Wall",
            "-Wextra",
            "-Werror",
            "-shared",
            "-fPIC",
            f"-I{TREE}",
            f"-I{include}",
            "-o",
            directory / "_belljar_language.abi3.so",
            *sources,
            HERE / "module.c",
        ],  # fmt: skip
        check=True,
    )
    return directory


@pytest.fixture(params=pythons(), ids=lambda path: pathlib.Path(path).resolve().name)
def python(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def limit() -> None:
    resource.setrlimit(resource.RLIMIT_DATA, (1 << 30, 1 << 30))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


NOBODY = 65534


def run_control(python: str, source: str, folder: pathlib.Path) -> Outcome:
    """Without the policy, as a user who owns nothing, in an empty folder: what is attacked here is this very machine."""
    if os.geteuid() != 0:
        return run_plain(python, folder, None, source, cwd=folder)
    ways = [pathlib.Path(python).resolve(), HERE / "plain_guest.py"]
    if not all(path.stat().st_mode & 1 for way in ways for path in way.parents):
        pytest.skip("an unprivileged user cannot reach the interpreter or these files")
    with tempfile.TemporaryDirectory() as empty:
        os.chmod(empty, 0o777)
        return run_plain(python, folder, None, source, cwd=empty, user=NOBODY)


def run_plain(
    python: str, extension: pathlib.Path, config: Any, source: str, seconds: float = SECONDS, cwd: Any = None,
    user: int | None = None, **more: Any,
) -> Outcome:  # fmt: skip
    request = {"config": config and config.to_dict(), "source": source, **more}
    read, write = os.pipe()
    try:
        process = subprocess.Popen(
            [python, "-I", str(HERE / "plain_guest.py"), str(TREE / "python"), str(extension), str(write)],  # fmt: skip
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            pass_fds=(write,),
            preexec_fn=limit,
            cwd=cwd,
            user=user,
            group=user,
            extra_groups=[] if user is not None else None,
        )
        os.close(write)
        write = -1
        try:
            stdout, stderr = process.communicate(json.dumps(request).encode(), timeout=seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            return Outcome("stopped", "", "", False, "", "")
        with os.fdopen(read, "rb") as file:
            read = -1
            answer = file.read()
    finally:
        for fd in (read, write):
            if fd >= 0:
                os.close(fd)
    if process.returncode < 0:
        return Outcome("crash", "", "", False, stdout.decode(), stderr.decode())
    assert answer, stderr.decode()
    data = json.loads(answer)
    return Outcome(data["error"], data["message"], data["text"], data["reached"], stdout.decode(), stderr.decode())


def run_jar(python: str, config: Any, source: str, seconds: float = SECONDS, stdin: str = "", given: Any = None) -> Outcome:
    """The outcome in a real sandbox. `given` is evaluated on this side, which is the host's."""
    belljar = pytest.importorskip("belljar")
    from belljar._language import show_all

    policy = belljar.Policy(**config.to_policy()).replace(timeout=min(seconds, 10.0), output=1 << 20)
    try:
        session = belljar.Sandbox(policy, python=python, stdin=stdin)
    except belljar.StartError as error:
        assert error.step != "interpreter", error  # the policy cannot be made: an answer of its own
        raise AssertionError(str(error)) from None
    with session:
        inner = session._session
        inner.language = dataclasses.replace(inner.language, show=show_all)  # what pysandbox showed of an object
        for name, value in (given or {}).items():
            give(session, name, eval(value, {}))
        done = session.run_code(source, filename="<sandbox>")
        if done.verdict in ("timeout", "cpu", "output"):
            return Outcome("stopped", "", "", False, done.stdout, done.stderr)
        if done.verdict in ("crashed", "infra_error"):
            return Outcome("crash", done.verdict, "", False, done.stdout, done.stderr)
        reached = False
        if done.verdict in ("ok", "error") and not done.exit >= 124:
            try:
                reached = bool("reached" in session and session["reached"])
            except belljar.SandboxError:
                pass  # it is over
        if done.error is not None:
            return Outcome(done.error.name, done.error.value, done.error.traceback, reached, done.stdout, done.stderr)
        name = "MemoryError" if done.verdict == "memory" else "SystemExit" if done.exit else None
        return Outcome(name, "", "", reached, done.stdout, done.stderr)


def give(session: Any, name: str, value: Any) -> None:
    from belljar.errors import SandboxError

    try:
        session[name] = value
    except SandboxError as error:
        raise AssertionError(str(error)) from None


@pytest.fixture
def folder() -> Iterator[pathlib.Path]:
    """A folder that others can read: who runs the sandbox is not who runs the tests if those run as root."""
    with tempfile.TemporaryDirectory() as path:
        os.chmod(path, 0o755)
        yield pathlib.Path(path)


@pytest.fixture(params=("plain", "jar"))
def where(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def run(python: str, extension: pathlib.Path, where: str) -> Callable[..., Outcome]:
    """run(config or features, source) under the policy."""

    def run_source(config: Any, source: str, **more: Any) -> Outcome:
        if isinstance(config, str):
            config = SandboxConfig(*config.split())
        config.hints = False  # test_refusals_permit.py has those
        if where == "jar":
            return run_jar(python, config, source, **more)
        return run_plain(python, extension, config, source, **more)

    return run_source
