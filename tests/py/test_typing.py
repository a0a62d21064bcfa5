"""The package is typed: mypy --strict on it, and on a program that uses it."""

from __future__ import annotations

import importlib.util
import inspect
import os
import pathlib
import pydoc
import subprocess
import sys
import typing

import pytest

import belljar

PACKAGE = pathlib.Path(belljar.__file__).parent
PYTHON = "/usr/bin/python3"

USER = """
import asyncio
import dataclasses
from belljar import (
    AsyncSandbox, Execution, Output, Policy, Result, Sandbox, SandboxConfig, SandboxExecutor, Template, arun, pysandbox, readonly, run,
)

@dataclasses.dataclass
class Product:
    price: float

def price(name: str) -> float:
    return 1.0

def main() -> int:
    execution: Execution = run("1", Policy(timeout=1, memory="1G", read=["/tmp"]), stdin="x", files={"a": b"1"})
    verdict: str = execution.verdict
    with Sandbox(Policy(), preload=["json"]) as sandbox:
        sandbox["x"] = 1
        del sandbox["x"]
        sandbox.expose(price, max_calls=3)
        sandbox["view"] = readonly({"p": Product(1.0)}, attributes={Product: ["price"]})
        sandbox.files["a"] = b"1"
        sandbox.files["b"] = "text"
        data: bytes = sandbox.files["a"]
        for event in sandbox.stream("1"):
            if isinstance(event, Output):
                print(event.stream, event.text)
            elif isinstance(event, Result):
                print(event.png)
            else:
                print(event.value)
        twin: Sandbox = sandbox.fork()
        twins: list[Sandbox] = sandbox.fork(2)
    with SandboxExecutor(Policy(), max_workers=2) as pool:
        number: float = pool.submit(price, "x").result()
        rows: list[float] = list(pool.map(price, ["a"]))
    with Template(Policy()) as template:
        template.run("1").usage.wall_ms
    config = SandboxConfig("stdout", "math", timeout=2.0)
    with Sandbox(config, files={"a": "1"}) as strict:
        names: dict[str, object] = {"radius": 2}
        strict.execute("area = 3 * radius", names, on_stdout=print)
        again = strict.create_callback(price, "x")
        print(strict.call(price, "x"), again(), strict.config.timeout, strict.policy.options["memory"], strict["area"])
        strict_twin: Sandbox = strict.fork()
    with SandboxExecutor(config, max_workers=2) as pool, Template(config) as strict_template:
        number = pool.submit(price, "x").result()
        strict_template.sandbox().execute("1", names)
        print(strict_template.config.features)
    with SandboxExecutor(template=template) as pool:
        pool.submit(price, "x")
    pysandbox.Sandbox(pysandbox.SandboxConfig("stdout")).createCallback(price, "x")()
    return len(verdict) + len(data)

async def amain() -> None:
    async with AsyncSandbox(Policy()) as sandbox:
        execution: Execution = await sandbox.run_code("1")
        async for event in sandbox.stream("1"):
            if isinstance(event, Output):
                print(event.text)
        content: bytes = await sandbox.files.read("a")
        names = await sandbox.files.list()
        twins: list[AsyncSandbox] = await sandbox.fork(2)
    async with AsyncSandbox(SandboxConfig("stdout")) as strict:
        await strict.execute("x = 1", {}, on_stdout=print)
        print(await strict.create_callback(price, "x")(), await strict.call(price, "x"), strict.config.features)
    await arun("1", SandboxConfig("stdout"))

asyncio.run(amain())
"""

WRONG = {
    "import belljar\nbelljar.run(1)\n": "arg-type",
    "import belljar\nbelljar.Policy(timout=1)\n": "call-arg",
    "import belljar\nbelljar.run('1', globals={})\n": "call-arg",
    "import belljar\nbelljar.Sandbox(timout=1)\n": "call-arg",
    "import belljar\nbelljar.Template().execute('1')\n": "attr-defined",
    "import belljar\nbelljar.AsyncSandbox()['x']\n": "index",
    "import belljar\nx: int = belljar.run('1').verdict\n": "assignment",
}


def mypy(*arguments: str, cache: pathlib.Path, config: str = "") -> subprocess.CompletedProcess[str]:
    if importlib.util.find_spec("mypy") is None:
        pytest.skip("mypy is not installed")
    environment = {**os.environ, "MYPYPATH": str(PACKAGE.parent), "PYTHONPATH": ""}
    command = [PYTHON, "-m", "mypy", "--strict", "--enable-incomplete-feature=Unpack", "--python-version=3.11",
               f"--cache-dir={cache}", f"--config-file={config}", *arguments]  # fmt: skip
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=200)


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("mypy")


def test_the_package_is_clean_under_mypy_strict(cache):
    # The project's own settings say which packages may be missing that adapters are for.
    done = mypy(str(PACKAGE), cache=cache, config=str(pathlib.Path(__file__).resolve().parents[2] / "pyproject.toml"))
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_program_that_uses_it_is_clean(cache, tmp_path):
    path = tmp_path / "user.py"
    path.write_text(USER)
    done = mypy(str(path), cache=cache)
    assert done.returncode == 0, done.stdout + done.stderr


def test_wrong_uses_are_found(cache, tmp_path):
    for number, code in enumerate(WRONG):
        (tmp_path / f"wrong_{number}.py").write_text(code)
    done = mypy(str(tmp_path), cache=cache)  # at once: each run of mypy takes seconds
    assert done.returncode == 1, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert [code for number, (code, kind) in enumerate(WRONG.items())
            if not any(f"wrong_{number}.py:" in line and f"[{kind}]" in line for line in lines)] == []  # fmt: skip


def public():
    for name in belljar.__all__:
        thing = getattr(belljar, name)
        yield name, thing
        if inspect.isclass(thing):
            for member, value in vars(thing).items():
                if not member.startswith("_") and (callable(value) or isinstance(value, property | classmethod | staticmethod)):
                    yield f"{name}.{member}", getattr(thing, member)


@pytest.mark.parametrize(("name", "thing"), list(public()), ids=[name for name, _ in public()])
def test_every_public_name_is_documented(name, thing):
    assert inspect.getdoc(thing), name
    assert len(inspect.getdoc(thing)) > 10, name


def test_help_reads_well():
    text = pydoc.plain(pydoc.render_doc(belljar))
    for word in ("runs Python that nobody trusts", "class Sandbox", "class AsyncSandbox", "class SandboxExecutor", "run(code"):
        assert word in text
    assert ">>> belljar.run(" in text
    assert "/home/" not in text.replace("/home/user", "")


def test_help_of_a_policy_lists_each_option_with_its_unit_and_default():
    text = pydoc.plain(pydoc.render_doc(belljar.Policy))
    for line in ("timeout: seconds; 30", "memory: bytes, or text with K, M or G; '512M'", "read: a path, or a list of them; []",
                 "threads: a whole number; 32", "jit: true or false; True", "language: a mapping; None",
                 "env: a mapping of names to values; {}"):  # fmt: skip
        assert f" {line}\n" in text, line
    assert all(f" {name}: " in text for name in typing.get_type_hints(belljar._policy.AllOptions) if name != "envs")
    assert "Wall time of a run; 0 for no limit." in text


def test_public_names_are_at_home_in_the_package():
    homes = {getattr(belljar, name).__module__ for name in belljar.__all__}
    assert homes == {"belljar", "belljar.aio", "belljar.errors", "belljar.sandbox", "belljar.values"}


OLD = ("arrays", "copying", "execution", "executor", "files", "host_functions", "interpreter", "policy", "proxy", "session", "shipping",
       "streaming", "template")  # fmt: skip


@pytest.mark.parametrize(
    "form", ["import belljar.{0}; found = belljar.{0}", "from belljar import {0} as found", "import belljar; found = belljar.{0}"]
)
def test_old_names_of_modules_warn_and_are_the_new_ones(form):
    program = ("import importlib, sys, warnings\n"
               "with warnings.catch_warnings(record=True) as seen:\n"
               "    warnings.simplefilter('always')\n"
               "    exec(sys.argv[1])\n"
               "assert found is importlib.import_module('belljar._' + sys.argv[2]), found\n"
               "print([(w.category.__name__, w.filename, str(w.message)) for w in seen])\n")  # fmt: skip
    for name in OLD:
        done = subprocess.run([sys.executable, "-c", program, form.format(name), name], capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith("[('DeprecationWarning', '<string>', 'belljar." + name + " is private now"), done.stdout
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", "import belljar; belljar.nothing"], capture_output=True, text=True, timeout=60
    )
    assert "module 'belljar' has no attribute 'nothing'" in done.stderr


def test_names_are_sorted_and_there():
    assert sorted(belljar.__all__) == belljar.__all__
    assert all(hasattr(belljar, name) for name in belljar.__all__)
    assert (PACKAGE / "py.typed").exists()
    assert sys.version_info >= (3, 11)
