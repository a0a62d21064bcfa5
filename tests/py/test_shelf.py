"""Many questions about granted files are answered in the guest (guest/shelf.h): as plain Python would answer them, whoever changes what."""

from __future__ import annotations

import contextlib
import os
import pathlib
import threading
from collections.abc import Callable, Iterator
from typing import Any

import belljar
import pytest
from belljar import Policy, Sandbox, Template

pytestmark = pytest.mark.core
PYTHONS = ["/usr/bin/python3", *filter(None, os.environ.get("BELLJAR_PYTHONS", "").split(":"))]
FILES = 40
# What a program sees of a path: all that stat says but for times of reading and the owner, who is told apart from root only.
SEEN = """
import os
def seen(path):
    try:
        told = os.lstat(path)
    except OSError as error:
        return type(error).__name__
    told = [told.st_mode, told.st_ino, told.st_nlink, told.st_size, told.st_mtime_ns, told.st_ctime_ns]
    try:
        of_file = os.stat(path)
    except OSError as error:
        return [*told, type(error).__name__]
    return [*told, of_file.st_mode, of_file.st_ino, of_file.st_size, of_file.st_mtime_ns, of_file.st_ctime_ns, os.path.islink(path)]
"""
seen: Callable[[str], Any]
exec(SEEN)
# Asks for all files so often that the folder is told, and the rest of it is answered here.
KNOW = "def know(folder, names):\n    for _ in range(3):\n        for name in names: os.stat(folder + '/' + name)\n"


@pytest.fixture
def folder(tmp_path: pathlib.Path) -> Iterator[str]:
    tmp_path.chmod(0o755)
    yield str(tmp_path)


def filled(folder: str, name: str = "files", mode: int = 0o755) -> str:
    made = pathlib.Path(folder, name)
    made.mkdir()
    for number in range(FILES):
        (made / str(number)).write_text("x" * number)
        (made / str(number)).chmod(0o666)
    made.chmod(mode)
    pathlib.Path(folder, name + ".targets").mkdir(mode=0o755)
    pathlib.Path(folder, name + ".targets", "far").write_text("far away")
    (made / "near").symlink_to("9")
    (made / "far").symlink_to(f"../{name}.targets/far")
    (made / "nothing").symlink_to("none")
    return str(made)


def append(folder: str) -> None:
    with open(folder + "/7", "a") as file:
        file.write("more")


def through_a_link(folder: str) -> None:
    os.symlink(folder + "/7", folder + "/../to_7")
    with open(folder + "/../to_7", "a") as file:
        file.write("more")


def replace(folder: str) -> None:
    pathlib.Path(folder, "../new").write_text("another file")
    os.rename(folder + "/../new", folder + "/7")


def to_a_link(folder: str) -> None:
    os.unlink(folder + "/7")
    os.symlink("8", folder + "/7")


def other_folder(folder: str) -> None:
    os.rename(folder, folder + ".old")
    os.mkdir(folder)
    pathlib.Path(folder, "7").write_text("in the new one")


def back_and_forth(folder: str) -> None:
    """The folder is itself again, and what is in it changed while it had another name."""
    os.rename(folder, folder + ".other")
    pathlib.Path(folder + ".other", "7").write_text("changed there")
    os.rename(folder + ".other", folder)


def second_name(folder: str) -> None:
    os.link(folder + "/7", folder + "/7.too")
    pathlib.Path(folder, "7.too").write_text("by another name")


def to_another_target(folder: str) -> None:
    os.unlink(folder + "/far")
    os.symlink("8", folder + "/far")


def another_target(folder: str) -> None:
    pathlib.Path(folder, "../new").write_text("another file")
    os.rename(folder + "/../new", folder + ".targets/far")


def other_targets(folder: str) -> None:
    os.rename(folder + ".targets", folder + ".old")
    os.mkdir(folder + ".targets")
    pathlib.Path(folder + ".targets", "far").write_text("in the new one")


# By the host, and where the guest may write, by the guest: `folder` is one of FILES files.
CHANGES: dict[str, Callable[[str], object]] = {
    "append": append,
    "truncate": lambda folder: os.truncate(folder + "/7", 3),
    "chmod": lambda folder: os.chmod(folder + "/7", 0o600),
    "utime": lambda folder: os.utime(folder + "/7", (1, 2)),
    "unlink": lambda folder: os.unlink(folder + "/7"),
    "make": lambda folder: pathlib.Path(folder, "new").write_text("new"),
    "make a folder": lambda folder: os.mkdir(folder + "/new"),
    "rename": lambda folder: os.rename(folder + "/7", folder + "/new"),
    "rename over": lambda folder: os.rename(folder + "/8", folder + "/7"),
    "rename into": replace,
    "through a link": through_a_link,
    "a link in its place": to_a_link,
    "a second name": second_name,
    "another folder": other_folder,
    "its own name again": back_and_forth,
    "the folder's mode": lambda folder: os.chmod(folder, 0o711),
    "what a link leads to": lambda folder: pathlib.Path(folder, "9").write_text("near"),
    "what a link leads far to": lambda folder: pathlib.Path(folder + ".targets", "far").write_text("as near"),
    "a link is another": to_another_target,
    "a link's target is another": another_target,
    "a link's target is in another folder": other_targets,
    "a link leads somewhere now": lambda folder: pathlib.Path(folder, "none").write_text("something"),
}
NAMES = ["7", "8", "new", "7.too", "9", "near", "far", "nothing", ".", ""]


@pytest.mark.parametrize("change", CHANGES)
def test_what_the_host_changes_is_seen_at_once(folder: str, change: str) -> None:
    files = filled(folder)
    with Sandbox(Policy(read=[folder], timeout=60)) as sandbox:
        sandbox.expose(lambda: CHANGES[change](files) and None, name="change")
        told = sandbox.run_code(
            f"{SEEN}{KNOW}files = {files!r}; know(files, [str(n) for n in range({FILES})])\n"
            f"before = [seen(files + '/' + name) for name in {NAMES}]\nchange()\n"
            f"print([before, [seen(files + '/' + name) for name in {NAMES}]])"
        )
    assert told.verdict == "ok", told
    before, after = eval(told.stdout)
    assert after == [seen(files + "/" + name) for name in NAMES] and before != after


# Every way in which Python asks, of one path and of a folder.
WAYS = """
import glob, os, pathlib
def stat(told): return [told.st_mode, told.st_ino, told.st_dev, told.st_nlink, told.st_size, told.st_mtime_ns, told.st_ctime_ns]
def all_of(folder):
    return {
        "scandir": sorted([e.name, e.is_file(), e.is_dir(), e.is_symlink(), e.inode(), *stat(e.stat(follow_symlinks=False))] for e in os.scandir(folder)),
        "listdir": sorted(os.listdir(folder)), "glob": sorted(glob.glob(folder + "/*")), "one": glob.glob(folder + "/7"), "none": glob.glob(folder + "/new"),
        "deep": sorted(glob.glob(folder + "/**", recursive=True)), "rglob": sorted(map(str, pathlib.Path(folder).rglob("*"))),
        "walk": [[sorted(dirs), sorted(files)] for _, dirs, files in os.walk(folder)], "iterdir": sorted(map(str, pathlib.Path(folder).iterdir())),
    }
LOOKS = {
    "stat": lambda path: stat(os.stat(path)), "lstat": lambda path: stat(os.lstat(path)), "bytes": lambda path: stat(os.stat(os.fsencode(path))),
    "not followed": lambda path: stat(os.stat(path, follow_symlinks=False)), "Path.stat": lambda path: stat(pathlib.Path(path).stat()),
    "Path.lstat": lambda path: stat(pathlib.Path(path).lstat()), "samefile": lambda path: os.path.samefile(path, path),
    "size": os.path.getsize, "mtime": os.path.getmtime, "ctime": os.path.getctime, "realpath": os.path.realpath,
    "exists": os.path.exists, "lexists": os.path.lexists, "isfile": os.path.isfile, "isdir": os.path.isdir, "islink": os.path.islink, "ismount": os.path.ismount,
    "Path.exists": lambda path: pathlib.Path(path).exists(), "Path.is_file": lambda path: pathlib.Path(path).is_file(),
    "Path.is_dir": lambda path: pathlib.Path(path).is_dir(), "Path.is_symlink": lambda path: pathlib.Path(path).is_symlink(),
    "Path.resolve": lambda path: str(pathlib.Path(path).resolve(strict=True)),
}
def by_every_way(folder, names):
    told = {}
    for name in names:
        for way, look in LOOKS.items():
            try: told[name, way] = look(folder + "/" + name)
            except OSError as error: told[name, way] = type(error).__name__
    told.update(all_of(folder))
    return told
"""
by_every_way: Callable[[str, list[str]], dict[Any, Any]]
exec(WAYS)


@pytest.mark.parametrize("python", PYTHONS)
def test_every_interpreter_sees_at_once_what_the_host_changes(folder: str, python: str) -> None:
    """By every way in which its library asks."""
    with Sandbox(Policy(read=[folder], timeout=60), python=python) as sandbox:
        assert sandbox.run_code(f"{WAYS}{KNOW}").verdict == "ok"
        for number, change in enumerate(sorted({*CHANGES} - {"the folder's mode"})):  # root lists it anyway
            files = filled(folder, str(number))
            ask = f"print(by_every_way({files!r}, {NAMES}))"
            before = sandbox.run_code(f"know({files!r}, [str(n) for n in range({FILES})])\n{ask}")
            assert before.verdict == "ok", before
            assert eval(before.stdout) == by_every_way(files, NAMES), change
            CHANGES[change](files)
            after = sandbox.run_code(ask)
            assert after.verdict == "ok", after
            assert eval(after.stdout) == by_every_way(files, NAMES), change
            assert after.stdout != before.stdout, change
            for made in "to_7", "new":
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(f"{folder}/{made}")


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize(
    "way", ["os.stat", "os.lstat", "os.path.exists", "os.path.isfile", "os.path.islink", "os.path.getsize", "pathlib.Path.stat"]
)
def test_every_interpreter_is_answered_in_the_guest(folder: str, python: str, way: str) -> None:
    filled(folder)
    code = (
        f"import os, pathlib\nfor _ in range(20):\n    for n in range({FILES}): {way}(pathlib.Path({folder + '/files'!r}, str(n)))"
    )
    told = [belljar.run(text, Policy(timeout=60, read=[folder]), python=python) for text in ("import os, pathlib", code)]
    assert [one.verdict for one in told] == ["ok", "ok"], told
    assert told[1].usage.served - told[0].usage.served < 30


@pytest.mark.parametrize("change", ["append", "truncate", "unlink", "make", "rename over", "utime", "another folder"])
def test_what_the_guest_itself_changes_is_seen_at_once(folder: str, change: str) -> None:
    """With the same lines as the host's: the guest has them as text."""
    import inspect

    os.chmod(folder, 0o777)
    files = filled(folder, mode=0o777)
    for path in pathlib.Path(files).iterdir():
        with contextlib.suppress(PermissionError):  # who may not give a file away is the guest's user
            os.chown(path, 65534, 65534, follow_symlinks=False)  # a time is set by its owner
    made = CHANGES[change]
    source = inspect.getsource(made).strip().rstrip(",")
    source = f"{source}\nchange = {made.__name__}" if source.startswith("def") else "change = " + source.split(": ", 1)[1]
    code = (
        f"import pathlib\n{SEEN}{KNOW}{source}\nfiles = {files!r}; know(files, [str(n) for n in range({FILES})])\n"
        f"before = [seen(files + '/' + name) for name in {NAMES}]\nchange(files)\n"
        f"print([before, [seen(files + '/' + name) for name in {NAMES}]])"
    )
    told = belljar.run(code, Policy(write=[folder], timeout=60))
    assert told.verdict == "ok", told
    before, after = eval(told.stdout)
    # Not the links: those out of scratch are refused.
    assert after == [seen(files + "/" + name) for name in NAMES] and before != after


def test_an_open_descriptor_that_writes_is_seen_at_once(folder: str) -> None:
    os.chmod(folder, 0o777)
    files = filled(folder, mode=0o777)
    code = f"""
import os
{KNOW}
know({files!r}, [str(n) for n in range({FILES})])
with open({files + "/7"!r}, "ab", buffering=0) as file:
    for size in range(8, 200):
        file.write(b"x")
        assert os.stat({files + "/7"!r}).st_size == size, size
        assert os.stat({files + "/8"!r}).st_size == 8
"""
    assert belljar.run(code, Policy(write=[folder], timeout=60)).verdict == "ok"


def test_another_guest_of_the_template_sees_what_one_has_changed(folder: str) -> None:
    os.chmod(folder, 0o777)
    files = filled(folder, mode=0o777)
    with Template(Policy(write=[folder], timeout=60)) as template, template.sandbox() as one, template.sandbox() as other:
        for session in one, other:
            assert session.run_code(f"import os\n{KNOW}know({files!r}, [str(n) for n in range({FILES})])").verdict == "ok"
        for size in range(20):
            assert one.run_code(f"open({files + '/7'!r}, 'w').write('x' * {size})").verdict == "ok"
            told = other.run_code(f"print(os.stat({files + '/7'!r}).st_size, os.stat({files + '/8'!r}).st_size)")
            assert told.stdout == f"{size} 8\n"


def calls(code: str, folder: str, audit: Callable[[Any], None] | None = None) -> int:
    told = belljar.run(f"import os\nfolder = {folder!r}\n{code}", Policy(timeout=60, read=[folder], audit=audit))
    assert told.verdict == "ok", told
    return told.usage.served


STATS = f"""
for _ in range(20):
    for number in range({FILES}):
        assert os.stat(f"{{folder}}/files/{{number}}").st_size == number
        assert not os.path.exists(f"{{folder}}/files/{{number}}.none")
"""


def test_the_supervisor_is_not_asked_again(folder: str) -> None:
    """But where that would be wrong: what is audited is asked for, each time."""
    filled(folder)
    nothing = calls("", folder)
    assert calls(STATS, folder) - nothing < 30
    assert calls(STATS.replace("{folder}/", "").replace("for _", "os.chdir(folder)\nfor _", 1), folder) - nothing < 30
    assert calls(STATS, folder, audit=lambda event: None) - nothing >= 2 * 20 * FILES


def test_nor_of_what_links_lead_to(folder: str) -> None:
    """Each stat of it, that is. What lstat says of a link it is asked for."""
    files = filled(folder)
    for number in range(FILES):
        os.symlink(f"../files/{number}", f"{folder}/files.targets/{number}")
    nothing = calls("", folder)
    links = STATS.replace("files/{number}", "files.targets/{number}")
    assert calls(links, folder) - nothing < 30
    assert calls(links.replace("os.stat(", "os.lstat(").replace("== number", "> 0"), folder) - nothing >= 20 * FILES
    assert os.path.islink(f"{files}/near")


def test_a_folder_that_cannot_be_told_is_asked_as_ever(folder: str) -> None:
    """There is another name for each file, and a file in a folder of the guest's own."""
    files = filled(folder)
    for number in range(FILES):
        os.link(f"{files}/{number}", f"{folder}/{number}.too")
    assert calls(STATS.replace("        assert not", "        #"), folder) >= 20 * FILES - 10
    code = "os.mkdir('files'); [open(f'files/{n}', 'w').write('x' * n) for n in range(%d)]\n" % FILES
    assert calls(code + STATS.replace("{folder}/", ""), folder) >= 20 * FILES


def test_a_program_that_closes_everything_is_told_the_truth(folder: str) -> None:
    """Several times: the supervisor, which knows of a change a moment later than the kernel, would mostly be in time."""
    for number in range(8):
        files = filled(folder, str(number))
        with Sandbox(Policy(read=[folder], timeout=60)) as sandbox:
            sandbox.expose(lambda: append(files), name="change")  # noqa: B023
            told = sandbox.run_code(
                f"import os\n{KNOW}know({files!r}, [str(n) for n in range({FILES})])\nmost = os.sysconf('SC_OPEN_MAX')\n"
                f"os.closerange(5, most)\nprint(os.stat({files + '/7'!r}).st_size); change(); print(os.stat({files + '/7'!r}).st_size)"
            )
        assert told.stdout == "7\n11\n", told


def test_what_the_kernel_does_not_tell_is_known_a_second_later(folder: str) -> None:
    """A second name that is made elsewhere, and written by; times of reading."""
    files = filled(folder)
    elsewhere = pathlib.Path(folder).parent / f"{pathlib.Path(folder).name}.elsewhere"

    def change() -> None:
        os.link(files + "/7", elsewhere)
        elsewhere.write_text("by another name")

    try:
        with Sandbox(Policy(read=[folder], timeout=60)) as sandbox:
            sandbox.expose(change)
            told = sandbox.run_code(
                f"import os, time\n{KNOW}know({files!r}, [str(n) for n in range({FILES})])\nchange()\ntime.sleep(1.1)\n"
                f"told = os.stat({files + '/7'!r}); print(told.st_size, told.st_nlink)"
            )
    finally:
        elsewhere.unlink(missing_ok=True)
    assert told.stdout == "15 2\n", told


def test_more_folders_and_files_than_are_remembered(folder: str) -> None:
    many = pathlib.Path(folder, "many")
    many.mkdir()
    for number in range(1500):
        (many / str(number)).write_text("x" * (number % 9))
    for number in range(600):
        (many / f"folder{number}").mkdir()
        (many / f"folder{number}" / "file").write_text("x" * number)
    code = """
for _ in range(3):
    for n in range(1500): assert os.stat(f"{folder}/many/{n}").st_size == n % 9
    for n in range(600):
        for _ in range(2): assert os.stat(f"{folder}/many/folder{n}/file").st_size == n
        assert os.stat(f"{folder}/many/folder{n}").st_nlink == 2
print(sum(entry.stat().st_size for entry in os.scandir(folder + "/many") if entry.is_file()))
"""
    calls(code, folder)


def test_a_busy_folder_is_left_alone(folder: str) -> None:
    """While the host writes all the time, the guest sees each size, and what it has seen once does not come back."""
    files = filled(folder)
    code = f"""
import os
sizes = [os.stat({files + "/7"!r}).st_size]
while sizes[-1] < 5000:
    size = os.stat({files + "/7"!r}).st_size
    assert size >= sizes[-1], sizes
    if size > sizes[-1]: sizes.append(size)
"""
    told: list[belljar.Execution] = []
    running = threading.Thread(target=lambda: told.append(belljar.run(code, Policy(read=[folder], timeout=60))))
    running.start()
    with open(files + "/7", "a") as file:
        while running.is_alive():
            file.write("x")
            file.flush()
    running.join()
    assert told[0].verdict == "ok", told
