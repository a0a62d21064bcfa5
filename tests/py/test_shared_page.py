"""The page by which a guest's calls on paths go (guest/tray.h): what it carries is what the program asked for and is told."""

from __future__ import annotations

import pathlib

import pytest

from belljar import Policy, Sandbox, SandboxError, run

SIZES = """
import os, threading
def check(number):
    for _ in range(400):
        path = f"{folder}/{number}"
        if os.stat(path).st_size != number or os.lstat(path).st_size != number:
            wrong.append(path)
        with open(path) as file:
            if len(file.read()) != number:
                wrong.append(path)
wrong = []
threads = [threading.Thread(target=check, args=(number,)) for number in range(1, 5)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
print(wrong)
"""


@pytest.fixture
def folder(tmp_path: pathlib.Path) -> pathlib.Path:
    tmp_path.chmod(0o755)
    for size in range(1, 5):
        (tmp_path / str(size)).write_text("x" * size)
    return tmp_path


def test_threads_at_the_same_time_get_each_its_own(folder: pathlib.Path) -> None:
    execution = run(f"folder = {str(folder)!r}{SIZES}", Policy(read=[str(folder)], threads=4, timeout=60))
    assert execution.stdout == "[]\n", execution


@pytest.mark.parametrize(
    ("path", "error"),
    [("'/1' * 3000", "ENAMETOOLONG"), ("'/1' * 1990", "ENOENT"), ("'./' * 2000 + 'made'", "ENOENT"), ("''", "ENOENT")],
)
def test_a_path_of_any_length_is_told_its_own_error(path: str, error: str) -> None:
    code = f"""
import errno, os
for call in os.stat, os.lstat, open, lambda path: os.open(path, os.O_RDONLY):
    try:
        call({path})
    except OSError as refused:
        print(errno.errorcode[refused.errno])
"""
    assert run(code).stdout == f"{error}\n" * 4


def test_a_file_gets_the_mode_it_was_made_with() -> None:
    code = """
import os
os.umask(0)
os.close(os.open("made", os.O_WRONLY | os.O_CREAT, 0o640))
os.close(os.open(".", os.O_RDONLY | os.O_DIRECTORY))
print(oct(os.stat("made").st_mode), oct(os.lstat("/work/made").st_mode))
"""
    assert run(code).stdout == "0o100640 0o100640\n"


def test_a_copy_of_a_session_has_none_of_its_parents(folder: pathlib.Path) -> None:
    with Sandbox(Policy(read=[str(folder)], threads=4, timeout=60)) as parent:
        parent.run_code(f"import os; folder = {str(folder)!r}; print(os.stat(folder + '/1').st_size)")
        try:
            copy = parent.fork()
        except SandboxError as error:
            assert "user namespaces" in str(error)
            pytest.skip("a session is forked only where there are user namespaces")
        with copy:
            for session, size in ((copy, 2), (parent, 3), (copy, 4), (parent, 1)):
                assert session.run_code(f"print(os.stat(folder + '/{size}').st_size)").stdout == f"{size}\n"
            assert copy.run_code("print(len(open(folder + '/3').read()))").stdout == "3\n"
            assert copy.run_code(SIZES).stdout == "[]\n"
