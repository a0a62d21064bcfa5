"""Attempts to have what is opened ahead of its use (guest/ahead.h) show in something else than time, and to have more by it than a guest may have."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pathlib
import signal
import time
from collections.abc import Iterator

from typing import Any

import belljar
import pytest
from belljar import Policy, Sandbox

pytestmark = pytest.mark.core
FILES = 40
READ = """
def read(paths):
    told = []
    for path in paths:
        try:
            with open(path) as file: told.append(file.read())
        except OSError as error: told.append(type(error).__name__)
    return told
"""
# A guest that makes its calls itself. It has the socket after it has read a few files.
RAW = f"""{READ}
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
AHEAD, NAMED = 0x62656c6c6a617204, 0x62656c6c6a617205
def raw(number, *args):
    return libc.syscall(ctypes.c_long(number), *[ctypes.c_long(arg) if isinstance(arg, int) else arg for arg in args])
def open_ahead(paths):
    return raw(257, -100, b"\\0".join(path.encode() for path in paths) + b"\\0\\0", os.O_RDONLY | os.O_CLOEXEC, 0, AHEAD)
def waiting():
    count, bytes = 0, ctypes.create_string_buffer(64)
    while raw(45, 250, bytes, 64, 0x40, 0, 0) > 0: count += 1
    return count
"""


@pytest.fixture
def folder(tmp_path: pathlib.Path) -> Iterator[str]:
    tmp_path.chmod(0o777)
    for number in range(FILES):
        (tmp_path / f"{number}.txt").write_text(f"file {number}")
        (tmp_path / f"{number}.txt").chmod(0o666)
    yield str(tmp_path)


def told(code: str, **policy: Any) -> str:
    execution = belljar.run(code, Policy(timeout=60, **policy))
    assert execution.verdict == "ok" and not execution.violations, execution
    return execution.stdout


def test_what_a_guest_does_not_take_does_not_become_more(folder: str) -> None:
    """The kernel bounds what a user has under way in sockets, for all of its programs: it is none of theirs that a guest never looks."""
    code = f"""{RAW}
paths = [f"{folder}/{{number}}.txt" for number in range(33)]
read(paths[:12])
waiting()
for _ in range(40): os.close(open_ahead(paths))
print(waiting())
os.close(open_ahead(paths))
print(waiting())
"""
    assert told(code, read=[folder]).split() == ["32", "32"]


def test_a_number_that_is_used_again_has_the_new_name(folder: str) -> None:
    """The guest knows under which name a file was opened ahead; the supervisor, which was asked for the file that came after it, knows better."""
    code = f"""{READ}
import os
os.chdir({folder!r})
os.mkdir("sub")
for n in range(40): open(f"sub/{{n}}.txt", "w").write(str(n))
read(f"sub/{{n}}.txt" for n in range(11))
there = os.open("sub", os.O_RDONLY)
first = os.open("sub/11.txt", os.O_RDONLY)
os.close(first)
os.rename("sub/11.txt", "sub/new")
fd = os.open("new", os.O_RDONLY, dir_fd=there)
os.utime(fd, (1, 2))
print(fd == first, os.readlink(f"/proc/self/fd/{{fd}}"), os.stat("sub/new").st_mtime)
"""
    assert told(code, write=[folder]) == f"True {folder}/sub/new 2.0\n"


def is_free(path: str) -> bool:
    """Whether nobody has the file open: then the kernel gives a lease of it."""
    old = signal.signal(signal.SIGIO, signal.SIG_IGN)
    try:
        with open(path, "a") as file, contextlib.suppress(BlockingIOError):
            fcntl.fcntl(file.fileno(), fcntl.F_SETLEASE, fcntl.F_WRLCK)
            return True
        return False
    finally:
        signal.signal(signal.SIGIO, old)


def test_a_session_that_does_nothing_holds_no_files(folder: str) -> None:
    """A host that deletes them has the room on its disk, and does not wait for the session's next run."""
    with Sandbox(Policy(read=[folder], timeout=60)) as session:
        session.run_code(f"{READ}kept = open('{folder}/0.txt')\nread(f'{folder}/{{n}}.txt' for n in range(10))")
        assert not is_free(f"{folder}/12.txt")
        end = time.monotonic() + 20
        while not is_free(f"{folder}/12.txt") and time.monotonic() < end:
            time.sleep(0.05)
        assert is_free(f"{folder}/12.txt") and not is_free(f"{folder}/0.txt")  # what the program holds is its own
        for _ in range(2):
            done = session.run_code(f"print(read(f'{folder}/{{n}}.txt' for n in range(40)) == [f'file {{n}}' for n in range(40)])")
            assert done.stdout == "True\n", done


def test_a_signal_between_two_runs_is_no_runs_matter(folder: str) -> None:
    code = f"{READ}import signal\nread(f'{folder}/{{n}}.txt' for n in range(10))\nsignal.signal(signal.SIGALRM, lambda *_: 1 / 0)\n"
    with Sandbox(Policy(read=[folder], timeout=60)) as session:
        assert session.run_code(code + "signal.setitimer(signal.ITIMER_REAL, 0.2)").verdict == "ok"
        time.sleep(0.6)
        done = session.run_code("print(1)")
        assert done.stdout == "1\n" and done.verdict == "ok", done


@pytest.mark.parametrize(
    "then", ["read([paths[n] for n in range(39, 25, -1)])", "read([paths[14]])", "held.seek(0)\ntime.sleep(1.2)\nread([paths[14]])"]
)
def test_a_lock_outlives_what_was_opened_ahead(folder: str, then: str) -> None:
    """Record locks go when any descriptor of their file is closed: none of those that the program does not know of may be."""
    code = f"""{READ}
import fcntl, time
paths = [f"{folder}/{{n}}.txt" for n in range(40)]
read(paths[:10])
held = open(paths[13], "r+")
fcntl.lockf(held, fcntl.LOCK_EX)
read(paths[10:12])
{then}
print(is_locked())
"""

    def is_locked() -> bool:
        with open(f"{folder}/13.txt", "r+") as file, contextlib.suppress(BlockingIOError):
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return False
        return True

    with Sandbox(Policy(write=[folder], timeout=60)) as session:
        session.expose(is_locked)
        assert session.run_code(code).stdout == "True\n"


def test_a_folder_with_too_many_names_is_read_once(tmp_path: pathlib.Path) -> None:
    """Reading it takes as long as hundreds of opens."""
    tmp_path.chmod(0o755)
    for number in range(9000):  # too many bytes
        (tmp_path / f"{number:0240}").touch()

    def served(count: int) -> int:
        code = f"import os\nfor n in range({count}): os.close(os.open(f'{tmp_path}/{{n:0240}}', os.O_RDONLY))"
        execution = belljar.run(code, Policy(timeout=60, read=[str(tmp_path)]))
        assert execution.verdict == "ok", execution
        return execution.usage.served

    assert served(1100) - served(100) <= 1000 + 4


def test_signals_cost_no_descriptor_its_name(folder: str) -> None:
    """They cut off the calls by which another thread than the first asks for it, and have it get the signal that is for the first."""
    code = f"""
import os, random, signal, threading, time
signal.signal(signal.SIGALRM, lambda *_: None)
signal.setitimer(signal.ITIMER_REAL, 0.002, 0.002)
end, wrong = time.monotonic() + 4, []
def links():
    while time.monotonic() < end:
        for n in random.sample(range(40), 40):
            fd = os.open(f"{folder}/{{n}}.txt", os.O_RDONLY)
            try:
                name = os.readlink(f"/proc/self/fd/{{fd}}")
                if name != f"{folder}/{{n}}.txt": wrong.append(name)
            except OSError: pass # threads that are answered at the same time may have to ask again
            os.close(fd)
threads = [threading.Thread(target=links) for _ in range(3)]
for thread in threads: thread.start()
links()
for thread in threads: thread.join()
print(wrong)
"""
    assert told(code, read=[folder], threads=8) == "[]\n"
