"""The language policy in plain processes, on every Python that BELLJAR_PYTHONS names (paths with : between)."""

from __future__ import annotations

import importlib
import json
import os
import pathlib
import resource
import shutil
import subprocess
import sys
import sysconfig
import types
from collections.abc import Callable
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
    source = TREE / "guest" / "language.c"
    compiler = shutil.which("cc")
    if not source.exists():
        pytest.skip("the sources of the guest are not here")
    if not compiler:
        pytest.skip("no C compiler")
    directory = tmp_path_factory.mktemp("language")
    include = sysconfig.get_path("include")
    subprocess.run(
        [compiler, "-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", f"-I{TREE}", f"-I{include}",
         "-o", directory / "_belljar_language.abi3.so", source, HERE / "module.c"],  # fmt: skip
        check=True,
    )
    return directory


@pytest.fixture(params=pythons(), ids=lambda path: pathlib.Path(path).resolve().name)
def python(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def limit() -> None:
    resource.setrlimit(resource.RLIMIT_DATA, (1 << 30, 1 << 30))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def run_plain(python: str, extension: pathlib.Path, config: Any, source: str, seconds: float = SECONDS, **more: Any) -> Outcome:
    request = {"config": config and config.to_dict(), "source": source, **more}
    read, write = os.pipe()
    try:
        process = subprocess.Popen(
            [python, "-I", str(HERE / "plain_guest.py"), str(TREE / "guest" / "belljar_language.py"), str(extension),
             str(write)],  # fmt: skip
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, pass_fds=(write,), preexec_fn=limit,
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


@pytest.fixture
def run(python: str, extension: pathlib.Path) -> Callable[..., Outcome]:
    """run(config or features, source) under the policy."""

    def run_source(config: Any, source: str, **more: Any) -> Outcome:
        if isinstance(config, str):
            config = SandboxConfig(*config.split())
        return run_plain(python, extension, config, source, **more)

    return run_source
