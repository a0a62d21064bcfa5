"""The catalogue's attacks under the open policy, where nothing of Python is denied: each runs in a real sandbox and gains nothing
outside of it. What shows that: this machine's files, this process, and the next guest are as they were."""

from __future__ import annotations

import hashlib
import os
import pathlib
import signal
from collections.abc import Iterator
from typing import Any

import pytest
from conftest import TREE

belljar = pytest.importorskip("belljar")

FILES = sorted((TREE / "tests" / "escapes" / "language").glob("L*.py"))
WATCHED = ("/etc/passwd", "/etc/group", "/etc/hosts", "/etc/ld.so.preload")


@pytest.fixture(scope="module", params=[None, *filter(None, os.environ.get("BELLJAR_PYTHONS", "").split(":"))],
                ids=lambda path: pathlib.Path(path).name if path else "default")  # fmt: skip
def template(request: pytest.FixtureRequest) -> Iterator[Any]:
    policy = belljar.Policy(timeout=1.0, memory="256M", output="64K", scratch="16M", threads=8)
    python = request.param or "/usr/bin/python3"
    with belljar.Template(policy, python=python) as made:
        yield made


def children() -> set[str]:
    path = pathlib.Path(f"/proc/self/task/{os.getpid()}/children")
    return set(path.read_text().split()) if path.exists() else set()


def facts(folder: pathlib.Path) -> list[Any]:
    """What an attack would have to change to have gained something."""
    found: list[Any] = [os.getcwd(), dict(os.environ), sorted(os.listdir(folder)), children()]
    found.append([signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)])
    for path in (*WATCHED, *sorted(folder.iterdir())):
        try:
            status = os.stat(path)
            content = hashlib.sha256(pathlib.Path(path).read_bytes()).hexdigest()
            found.append((path, status.st_mode, status.st_uid, status.st_mtime_ns, content))
        except FileNotFoundError:
            found.append((path, "absent"))
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_attack_gains_nothing_outside_the_guest(path: pathlib.Path, template: Any, folder: pathlib.Path,
                                                    monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    monkeypatch.chdir(folder)
    (folder / "mine").write_text("as it was")
    os.chmod(folder, 0o777)  # so that only the jar is in the way
    before = facts(folder)
    execution = template.run(path.read_text(), filename=path.name)
    assert execution.verdict in ("ok", "error", "timeout", "cpu", "memory", "output", "violation", "crashed")
    assert facts(folder) == before
    assert template.run("6 * 7").value == 42
