"""Attempts to have a guest's own answers about granted files (guest/shelf.h) differ from the host's: names, folders that change places, other
guests, threads, and whatever a random hand does."""

from __future__ import annotations

import json
import os
import pathlib
import random
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from typing import Any

import belljar
import pytest
from belljar import Policy, Sandbox, Template

pytestmark = pytest.mark.core
FILES = 40
PYTHON = "/usr/bin/python3"
# What a program sees of a path, but for times of reading and the owner, who is told apart from root only.
SEEN = """
import os
def seen(path):
    told = []
    for look in os.stat, os.lstat:
        try:
            of = look(path)
            told.append([of.st_mode, of.st_ino, of.st_dev, of.st_nlink, of.st_size, of.st_blocks, of.st_mtime_ns, of.st_ctime_ns])
        except OSError as error:
            told.append([type(error).__name__, error.errno])
    return told
def know(folder):
    for path in [f"{folder}/{number}" for number in range(40)] * 3:
        try: os.stat(path)
        except OSError: pass
"""
seen: Callable[[str], Any]
exec(SEEN)


@pytest.fixture
def folder(tmp_path: pathlib.Path) -> Iterator[pathlib.Path]:
    tmp_path.chmod(0o777)
    fill(tmp_path)
    yield tmp_path
    for path, _, _ in os.walk(tmp_path):
        os.chmod(path, 0o755)


@pytest.fixture
def environment() -> Iterator[tuple[pathlib.Path, str]]:
    """The folder of packages of a new one, and its interpreter."""
    with tempfile.TemporaryDirectory(prefix="belljar-probe-") as top:
        os.chmod(top, 0o755)
        subprocess.run([PYTHON, "-m", "venv", "--without-pip", top + "/env"], check=True)
        yield next(pathlib.Path(top, "env/lib").glob("python3.*/site-packages")), top + "/env/bin/python"


def fill(folder: pathlib.Path) -> None:
    for number in range(FILES):
        (folder / str(number)).write_text("x" * number)
        (folder / str(number)).chmod(0o666)


def told(sandbox: Sandbox, code: str) -> str:
    execution = sandbox.run_code(code)
    assert execution.verdict == "ok", execution
    return execution.stdout


def agree(sandbox: Sandbox, *paths: str) -> None:
    """The guest sees of each what we see."""
    found = eval(told(sandbox, f"print([seen(path) for path in {paths!r}])"))
    assert dict(zip(paths, found)) == {path: seen(path) for path in paths}


NAMES = """7 none sub sub/ sub/7 sub/none 7/ 7/x none/x . /7 ./7 sub/.. sub/../7 sub//7 ... .a ..a é ln dangling dangling/x loop to_sub to_sub/7
to_sub/none fifo fifo/x empty empty/x empty/x/ twice closed/7 closed/none unlisted/7 unlisted/none""".split()
NAMES += ["", " ", "line\nline", "\udcff\udcfe", "n" * 255, "m" * 255, "m" * 256, "é" * 127, "é" * 128, "m" * 3000, "m" * 5000]
NAMES += ["sub/" * 1000 + "7", "empty/" + "y" * 256]


def test_every_name_means_what_it_means_to_the_host(folder: pathlib.Path) -> None:
    for name in "...", ".a", "..a", "é", "\udcff\udcfe", "line\nline", " ", "n" * 255:
        (folder / name).write_text(name[:1], errors="surrogateescape")
    for name in "sub", "empty", "closed", "unlisted":
        (folder / name).mkdir()
        if name != "empty":
            fill(folder / name)
    for name, to in ("ln", "7"), ("dangling", "nowhere"), ("loop", "loop"), ("to_sub", "sub"):
        (folder / name).symlink_to(to)
    os.mkfifo(folder / "fifo")
    os.link(folder / "7", folder / "twice")
    (folder / "unlisted").chmod(0o711)
    (folder / "closed").chmod(0o666 if os.geteuid() != 0 else 0o777)  # root sees it anyway
    top = str(folder)
    with Sandbox(Policy(read=[top], timeout=60)) as sandbox:
        told(sandbox, SEEN + f"for name in '', '/sub', '/to_sub', '/empty', '/closed', '/unlisted': know({top!r} + name)")
        agree(sandbox, *[f"{top}/{name}" for name in NAMES])
        before = os.getcwd()
        for move in (
            "os.chdir({!r})",
            "os.fchdir(os.open({!r}, os.O_RDONLY))",
            "__import__('ctypes').CDLL(None).chdir(os.fsencode({!r}))",
        ):
            for place in top + "/sub", top:
                told(sandbox, f"{move.format(place)};know('.');[os.path.exists(str(number)) for number in range(60)]")
                os.chdir(place)
                try:
                    agree(sandbox, *NAMES)
                finally:
                    os.chdir(before)


def test_a_grant_in_a_grant_and_of_a_single_file(folder: pathlib.Path) -> None:
    """What changes in either is heard. That neither is told by the other's listing is for the next test, and for tests/c/test_list.c."""
    (folder / "sub").mkdir()
    fill(folder / "sub")
    top = str(folder)
    paths = [f"{top}/{name}" for name in ("5", "7", "none", "sub", "sub/7", "sub/none")]
    with Sandbox(Policy(read=[top, f"{top}/sub", f"{top}/5"], timeout=60)) as sandbox:
        for change in range(4):
            told(sandbox, SEEN + f"know({top!r}); know({top + '/sub'!r})")
            (folder / ("sub" if change % 2 else ".") / "7").write_text("changed" * change)
            agree(sandbox, *paths)
            (folder / "sub" / "none").write_text("there")
            agree(sandbox, *paths)
            (folder / "sub" / "none").unlink()
            agree(sandbox, *paths)


def test_a_grant_in_a_grant_is_what_was_granted_whatever_takes_its_place(folder: pathlib.Path) -> None:
    """The listing of the folder around them says nothing of them: the host has another file and another folder there by now."""
    (folder / "sub").mkdir()
    fill(folder / "sub")
    top = str(folder)
    granted = {name: os.stat(folder / name).st_ino for name in ("5", "sub", "sub/7")}
    with Sandbox(Policy(read=[top, f"{top}/sub", f"{top}/5"], timeout=60)) as sandbox:
        told(sandbox, SEEN + f"know({top!r}); know({top + '/sub'!r})")
        for name in "5", "sub":
            (folder / name).rename(folder / f"{name}.before")
        (folder / "5").write_text("another")
        (folder / "sub").mkdir()
        fill(folder / "sub")
        for change in range(3):
            told(sandbox, f"import time; time.sleep(0.3); know({top!r}); know({top + '/sub'!r})")
            found = eval(told(sandbox, f"print({{name: os.stat({top!r} + '/' + name).st_ino for name in {list(granted)}}})"))
            assert found == granted
            agree(sandbox, f"{top}/7", f"{top}/5.before", f"{top}/none")  # what is beside them is told
            (folder / "7").write_text("changed" * change)
            # And what lies in a grant that is gone is no file of the new one's.
            (folder / "sub.before" / "7").write_text("changed" * change)
            assert told(sandbox, f"print(os.stat({top + '/sub/7'!r}).st_size)") == f"{7 * change}\n"
        (folder / "5").unlink()
        (folder / "sub").rename(folder / "gone")
        told(sandbox, f"import time; time.sleep(0.3); know({top!r})")
        found = eval(told(sandbox, f"print({{name: os.stat({top!r} + '/' + name).st_ino for name in {list(granted)}}})"))
        assert found == granted  # nothing is there on the host


def test_one_folder_by_two_grants(folder: pathlib.Path) -> None:
    """By its own path and by that of a link: one is told, the other on the way to what is below, in either order."""
    real = folder / "real"
    (real / "sub").mkdir(parents=True)
    (folder / "link").symlink_to("real")
    fill(real)
    fill(real / "sub")
    for first, then in ("real", "link/sub"), ("link/sub", "real"), ("link", "real/sub"), ("real/sub", "link"):
        with Sandbox(Policy(read=[f"{folder}/real", f"{folder}/link"], timeout=60)) as sandbox:
            told(sandbox, SEEN + f"know({f'{folder}/{first}'!r}); know({f'{folder}/{then}'!r})")
            for size in range(5):
                (real / ("sub" if size % 2 else ".") / "7").write_text("y" * size)
                agree(sandbox, *[f"{folder}/{way}/{name}" for way in ("real", "link") for name in ("7", "sub/7", "none", "8")])
                if size % 2:
                    told(sandbox, f"import time; time.sleep(0.3); know({f'{folder}/{first}'!r}); know({f'{folder}/{then}'!r})")


def test_a_folder_that_took_anothers_place_while_nobody_looked(folder: pathlib.Path) -> None:
    """Those above it are not watched after a change in them; it was still, though another by then."""
    top = folder / "a" / "b"
    top.mkdir(parents=True)
    fill(top)
    with Sandbox(Policy(read=[str(folder)], timeout=60)) as sandbox:
        told(sandbox, SEEN + f"know({str(top)!r})")
        (folder / "a" / "file").touch()
        (folder / "file").touch()
        told(sandbox, "pass")  # by now the supervisor knows
        (folder / "a").rename(folder / "before")
        top.mkdir(parents=True)
        fill(top)
        told(sandbox, f"import time; time.sleep(0.3); know({str(top)!r}); time.sleep(0.3); know({str(top)!r})")
        for size in range(3):
            agree(sandbox, f"{top}/7")
            (top / "7").write_text("y" * size)
            agree(sandbox, f"{top}/7")


def test_the_runtimes_files_are_told_to_programs_as_they_are(environment: tuple[pathlib.Path, str]) -> None:
    """With all their names, and what is installed beside them: what the importer remembers of them is not for programs."""
    packages, python = environment
    fill(packages)
    os.link(packages / "7", packages / "twice")
    with Sandbox(Policy(timeout=60), python=python) as sandbox:
        for number in range(3):
            told(sandbox, SEEN + f"know({str(packages)!r})")
            agree(sandbox, *[f"{packages}/{name}" for name in ("7", "twice", "8", f"made{number}")])
            (packages / f"made{number}").write_text("installed")
            (packages / "8").write_text(f"changed {number}")
            agree(sandbox, *[f"{packages}/{name}" for name in ("7", "twice", "8", f"made{number}")])


def test_what_is_installed_between_runs_is_there_for_each_guest(environment: tuple[pathlib.Path, str]) -> None:
    """What one guest was told of a folder of the runtime's is no other's."""
    packages, python = environment
    with Template(Policy(timeout=60), python=python) as template:
        for number in range(10):
            assert template.run("import nowhere").verdict == "error"
            (packages / f"made{number}.py").write_text(f"value = {number}")
            assert template.run(f"import made{number}; print(made{number}.value)").stdout == f"{number}\n"


def test_copies_and_originals_see_what_either_writes(folder: pathlib.Path) -> None:
    top = str(folder)
    with Sandbox(Policy(write=[top], timeout=60)) as sandbox:
        told(sandbox, SEEN + f"know({top!r})")
        try:
            forked = sandbox.fork()
        except belljar.SandboxError as error:
            pytest.skip(f"this machine forks no session: {error}")
        with forked as copy:
            for number, (writer, reader) in enumerate([(copy, sandbox), (sandbox, copy)] * 3):
                told(reader, f"know({top!r})")
                told(writer, f"open({top + '/7'!r}, 'w').write('x' * {number})")
                agree(reader, top + "/7", top + "/8")
                agree(writer, top + "/7", top + "/8")


def test_threads_that_ask_and_move_at_once(folder: pathlib.Path) -> None:
    code = f"""
import os, threading
wrong = []
def look(first):
    for number in range(first, 1500 + first):
        number %= {FILES}
        if os.stat(f"{folder}/{{number}}").st_size != number or os.path.exists(f"{folder}/none{{number}}"):
            wrong.append(number)
def move():
    for _ in range(150):
        os.chdir({str(folder)!r})
        there = os.path.exists("7")
        os.chdir("/")
        if not there or os.path.exists("7"):
            wrong.append("moved")
threads = [threading.Thread(target=look, args=(first,)) for first in range(5)] + [threading.Thread(target=move)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
print(wrong)
"""
    assert belljar.run(code, Policy(read=[str(folder)], threads=8, timeout=60)).stdout == "[]\n"


# A change by chance; the same lines for the host and for the guest. Second names are the host's alone and known a second later: left out.
CHANCE = """
import os
held = []
def change(chance, top, folders):
    folder, other = chance.choice(folders), chance.choice(folders)
    path, to = [f"{where}/{chance.randrange(4)}" for where in (folder, other)]
    def hold():
        held.append(os.open(path, os.O_RDWR))
        if len(held) > 3: os.close(held.pop(0))
    def swap():
        os.rename(folder, top + "/between"); os.rename(other, folder); os.rename(top + "/between", other)
    def write(mode, text):
        with open(path, mode) as file: file.write(text)
    try:
        chance.choice([
            lambda: write("w", "x" * chance.randrange(60)), lambda: write("a", "y"), lambda: write("w", ""),
            lambda: os.truncate(path, 3), lambda: os.unlink(path), lambda: os.rename(path, to), lambda: os.rename(folder, other),
            lambda: os.mkdir(folder), lambda: os.rmdir(folder), swap, hold, lambda: os.chmod(path, 0o600 + chance.randrange(0o100)),
            lambda: os.write(chance.choice(held), b"z"), lambda: os.ftruncate(chance.choice(held), 9), lambda: os.utime(path, (1, 2)),
            lambda: os.posix_fallocate(chance.choice(held), 0, 99), lambda: os.symlink(to, path), lambda: os.symlink("0", path),
        ])()
    except (OSError, IndexError):
        pass
"""
held: list[int] = []
change: Callable[[random.Random, str, list[str]], None]
exec(CHANCE)


@pytest.mark.parametrize("grant", ["read", "write"])
@pytest.mark.parametrize("seed", range(2))
def test_whatever_is_changed_by_chance(folder: pathlib.Path, grant: str, seed: int) -> None:
    before = os.umask(0)
    try:
        top, chance = str(folder), random.Random(seed)
        folders = [top, *[f"{top}/{name}" for name in ("a", "b", "a/a", "a/b", "b/a", "a/a/a")]]
        for made in folders[1:]:
            os.mkdir(made)
        paths = [f"{made}/{name}" for made in folders for name in (0, 1, 2, 3, "a", "b", "none")]
        with Sandbox(Policy(**{grant: [top]}, timeout=100)) as sandbox:  # type: ignore[arg-type]
            sandbox.expose(lambda: change(chance, top, folders), name="changed")
            sandbox.expose(lambda asked: json.dumps([seen(path) for path in asked]), name="look")
            code = f"""
{SEEN}{CHANCE}
import json, random
chance, top, folders, paths = random.Random({seed}), {top!r}, {folders!r}, {paths!r}
os.umask(0)
for turn in range(120):
    for path in chance.sample(paths, 20) * 2: seen(path)
    if {grant!r} == "write" and turn % 2: change(chance, top, folders)
    else: changed()
    asked = chance.sample(paths, 12)
    found = [seen(path) for path in asked]
    for path, here, there in zip(asked, found, json.loads(look(asked))):
        assert here == there, (turn, path, here, there)
"""
            told(sandbox, code)
            told(sandbox, "[os.close(number) for number in held]")
    finally:
        os.umask(before)
        while held:
            os.close(held.pop())
