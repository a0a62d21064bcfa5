"""What a program is likely to open next is opened ahead (guest/ahead.h): it shows in nothing but the time, whoever changes what."""

from __future__ import annotations

import contextlib
import ctypes
import os
import pathlib
import py_compile
import signal
import struct
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import belljar
import pytest
from belljar import Policy, Sandbox, Template

pytestmark = pytest.mark.core
FILES = 40
IN_OPEN, IN_ISDIR, IN_NONBLOCK = 0x20, 0x40000000, 0o4000
libc = ctypes.CDLL(None, use_errno=True)
READ = """
def read(paths):
    told = []
    for path in paths:
        try:
            with open(path) as file:
                told.append(file.read())
        except OSError as error:
            told.append(type(error).__name__)
    return told
"""
read: Callable[[list[str]], list[str]]
exec(READ)


@pytest.fixture
def folder(tmp_path: pathlib.Path) -> Iterator[str]:
    tmp_path.chmod(0o755)
    yield str(tmp_path)
    for path, _, _ in os.walk(tmp_path):
        os.chmod(path, 0o755)


def filled(folder: str, name: str = "files", mode: int = 0o755) -> str:
    made = pathlib.Path(folder, name)
    made.mkdir()
    for number in range(FILES):
        (made / f"{number}.txt").write_text(f"{name} {number}")
        (made / f"{number}.txt").chmod(0o666)
    made.chmod(mode)
    return str(made)


def linked(files: str, folder: str) -> str:
    """A folder of links, by turns from the root and from there."""
    links = pathlib.Path(folder, "links")
    links.mkdir()
    for number in range(FILES):
        target = f"{files}/{number}.txt"
        (links / str(number)).symlink_to(target if number % 2 else os.path.relpath(target, links))
    return str(links)


def in_order(folder: str) -> list[str]:
    return [f"{folder}/{number}.txt" for number in range(FILES)]


@contextlib.contextmanager
def opened_files(*folders: str) -> Iterator[Callable[[], list[str]]]:
    """What was opened in some folders by anybody since it was asked for last: the host's own look at what a guest has done."""
    made = libc.inotify_init1(IN_NONBLOCK)
    if made < 0:
        pytest.skip("this user has no set of inotify left")
    names = {libc.inotify_add_watch(made, folder.encode(), IN_OPEN): folder for folder in folders}

    def opened() -> list[str]:
        told, data = [], b""
        with contextlib.suppress(BlockingIOError):
            while True:
                data += os.read(made, 1 << 16)
        while data:
            watch, mask, _, length = struct.unpack_from("iIII", data)
            if not mask & IN_ISDIR:
                told.append(f"{names[watch]}/" + data[16 : 16 + length].rstrip(b"\0").decode())
            data = data[16 + length :]
        return told

    yield opened
    os.close(made)


def run_in(session: Sandbox, code: str) -> Any:
    told = session.run_code(code)
    assert told.verdict == "ok" and not told.violations, told
    return eval(told.stdout) if told.stdout else None


# Each order as a program comes to it. Its folder is `files`, one of FILES files, and there is another, `more`.
ORDERS = {
    "as numbers count": "[f'{files}/{n}.txt' for n in range(40)]",
    "byte by byte": "sorted(f'{files}/{n}.txt' for n in range(40))",
    "as listed": "[f'{files}/{name}' for name in os.listdir(files)]",
    "as scandir has them": "[entry.path for entry in os.scandir(files)]",
    "as glob has them": "glob.glob(files + '/*.txt')",
    "as pathlib has them": "[str(path) for path in pathlib.Path(files).iterdir()]",
    "two folders in turn": "[f'{place}/{n}.txt' for n in range(40) for place in (files, more)]",
    "one after the other": "[f'{place}/{n}.txt' for place in (files, more) for n in range(40)]",
    "every file twice": "[f'{files}/{n // 2}.txt' for n in range(80)]",
    "links to them": "[f'{links}/{n}' for n in range(40)]",
    "relative": "os.chdir(files + '/..') or [f'files/{n}.txt' for n in range(40)]",
}


@pytest.mark.parametrize("order", ORDERS)
def test_files_are_opened_ahead_in_the_order_in_which_a_program_takes_them(folder: str, order: str) -> None:
    files, more = filled(folder), filled(folder, "more")
    links = linked(files, folder)
    with Sandbox(Policy(read=[folder], timeout=60)) as session, opened_files(files, more) as opened:
        start = f"import os, glob, pathlib\n{READ}files, more, links = {files!r}, {more!r}, {links!r}\npaths = {ORDERS[order]}\n"
        paths = run_in(session, start + "print([os.path.realpath(path) for path in paths])")
        assert opened() == []
        assert run_in(session, "print(read(paths[:10]))") == read(paths[:10])
        names = opened()
        first = [name for name in names if name not in paths[:10]]
        assert len(set(first)) <= 2 * 16 and set(first) & set(paths[10:30])
        assert run_in(session, "print(read(paths[10:]))") == read(paths[10:])


def calls(code: str, folder: str, **grants: Any) -> int:
    told = belljar.run(f"import os\nfolder = {folder!r}\n{READ}{code}", Policy(timeout=60, read=[folder], **grants))
    assert told.verdict == "ok" and not told.violations, told
    return told.usage.served


IN_ORDER = f"told = read(f'{{folder}}/files/{{n}}.txt' for n in range({FILES}))\nassert told == [f'files {{n}}' for n in range({FILES})], told"
IN_TURN = f"told = read(f'{{folder}}/{{place}}/{{n}}.txt' for n in range({FILES}) for place in ('files', 'more'))\nassert len(set(told)) == 80"
SHUFFLED = IN_ORDER.replace("{n}.txt", "{n * 7 % 40}.txt").replace("files {n}", "files {n * 7 % 40}")


def test_the_supervisor_is_asked_for_few_of_them(folder: str) -> None:
    """But where a program has no order, where calls are audited, and where descriptors are few."""
    filled(folder)
    filled(folder, "more")
    nothing = calls("", folder)
    assert calls(IN_ORDER, folder) - nothing < FILES / 2
    assert calls(IN_TURN, folder) - nothing < FILES
    assert calls(SHUFFLED, folder) - nothing >= FILES
    assert calls(IN_ORDER, folder, audit=lambda event: None) - nothing >= FILES
    assert calls(IN_ORDER, folder, descriptors=64) - nothing >= FILES


def test_files_of_the_runtime_need_no_grant_to_be_opened_ahead() -> None:
    """What is everybody's, and granted to nobody: a program that goes through it asks for few."""
    code = "import encodings, os\nfolder = os.path.dirname(encodings.__file__)\npaths = sorted(e.path for e in os.scandir(folder) if e.name.endswith('.py'))\n"
    served = [belljar.run(code + then, Policy(timeout=60)).usage.served for then in ("", "for path in paths: open(path).close()")]
    count = int(belljar.run(code + "print(len(paths))", Policy(timeout=60)).stdout)
    assert count > 100 and served[1] - served[0] < count / 2


@pytest.mark.parametrize("granted", [True, False])
def test_no_more_is_on_record_than_the_program_was_refused(folder: str, granted: bool) -> None:
    """Nor is counted as looked for: what the guest asks by itself, of a folder that is refused."""
    files, more = filled(folder), filled(folder, "more") if granted else "/root/nobody"
    policy = Policy(timeout=60, read=[files, f"{more}/7.txt"] if granted else [])
    opens = f"for n in range({FILES}):\n  try: open(f'{more}/{{n}}.txt')\n  except OSError: pass\n"
    stats = f"import os\nfor n in range({FILES}): os.path.exists(f'{more}/{{n}}.txt')\n"
    told = belljar.run(opens + opens, policy)
    assert [path.target for path in told.violations[:4]] == [f"{more}/{n}.txt" for n in range(4)]
    assert told.probes == 0 and {path.target.endswith(".txt") for path in told.violations} == {True}
    told = belljar.run(stats + stats, policy)
    assert not told.violations and told.probes == 2 * (FILES - granted)


def test_what_is_audited_is_what_the_program_has_opened(folder: str) -> None:
    filled(folder)
    seen: list[Any] = []
    calls(IN_ORDER, folder, audit=seen.append)
    assert sorted(event.target for event in seen if event.target.endswith(".txt")) == sorted(in_order(f"{folder}/files"))


def unreadable(folder: str) -> None:
    os.chmod(f"{folder}/11.txt", 0)
    if os.geteuid() != 0:
        return
    os.chown(f"{folder}/11.txt", 0, 0)


def replaced(folder: str) -> None:
    pathlib.Path(folder, "../new").write_text("another file")
    os.rename(f"{folder}/../new", f"{folder}/11.txt")


def a_link(folder: str) -> None:
    os.unlink(f"{folder}/11.txt")
    os.symlink("12.txt", f"{folder}/11.txt")


def a_fifo(folder: str) -> None:
    os.unlink(f"{folder}/11.txt")
    os.mkfifo(f"{folder}/11.txt")


def a_folder(folder: str) -> None:
    os.unlink(f"{folder}/11.txt")
    os.mkdir(f"{folder}/11.txt")


def another_folder(folder: str) -> None:
    os.rename(folder, folder + ".old")
    os.mkdir(folder)
    pathlib.Path(folder, "11.txt").write_text("in the new one")


def a_folder_above(folder: str) -> None:
    above = os.path.dirname(folder)
    os.rename(above, above + ".old")
    os.makedirs(folder)
    pathlib.Path(folder, "11.txt").write_text("in the new one")


# What may happen to files that were opened ahead. After each, the host would read what a guest is to read.
CHANGES: dict[str, Callable[[str], object]] = {
    "written to": lambda folder: pathlib.Path(folder, "11.txt").write_text("other words"),
    "appended to": lambda folder: pathlib.Path(folder, "11.txt").open("a").write(" and more"),
    "cut": lambda folder: os.truncate(f"{folder}/11.txt", 2),
    "removed": lambda folder: os.unlink(f"{folder}/11.txt"),
    "all removed": lambda folder: list(map(os.unlink, in_order(folder))),
    "renamed": lambda folder: os.rename(f"{folder}/11.txt", f"{folder}/new.txt"),
    "another's name": lambda folder: os.rename(f"{folder}/20.txt", f"{folder}/11.txt"),
    "replaced": replaced,
    "a link now": a_link,
    "a folder now": a_folder,
    "in another folder": another_folder,
    "below another folder": a_folder_above,
    "the folder's mode": lambda folder: os.chmod(folder, 0o755),
}


def relinked(folder: str) -> None:
    os.unlink(folder + "/../links/11")
    os.symlink("12", folder + "/../links/11")


@pytest.mark.parametrize("change", [*CHANGES, "its link"])
def test_what_the_host_changes_is_seen_at_once_through_links(folder: str, change: str) -> None:
    os.mkdir(folder + "/deep", 0o755)
    files = filled(folder + "/deep")
    links = linked(files, folder)
    paths = [f"{links}/{number}" for number in range(FILES)]
    with Sandbox(Policy(read=[folder], timeout=60)) as session, opened_files(files) as opened:
        act = CHANGES.get(change, lambda files: relinked(os.path.dirname(files)))
        session.expose(lambda: act(files) and None, name="change")
        told = run_in(session, f"{READ}paths = {paths!r}\nfirst = read(paths[:10])\nchange()\nprint([first, read(paths[10:])])")
        assert {f"{files}/11.txt", f"{files}/12.txt"} <= set(opened())
    assert told == [[f"files {number}" for number in range(10)], read(paths[10:])]


@pytest.mark.parametrize("change", CHANGES)
def test_what_the_host_changes_is_seen_at_once(folder: str, change: str) -> None:
    os.mkdir(folder + "/deep", 0o755)
    files = filled(folder + "/deep")
    paths = in_order(files)
    with Sandbox(Policy(read=[folder], timeout=60)) as session, opened_files(files) as opened:
        session.expose(lambda: CHANGES[change](files) and None, name="change")
        told = run_in(session, f"{READ}paths = {paths!r}\nfirst = read(paths[:10])\nchange()\nprint([first, read(paths[10:])])")
        assert {paths[11], paths[12]} <= set(opened())  # before the change, or nothing is shown here
    assert told == [[f"files {number}" for number in range(10)], read(paths[10:])]


def test_who_may_not_read_any_more_is_told_so(folder: str) -> None:
    files = filled(folder)
    paths = in_order(files)
    with Sandbox(Policy(read=[folder], timeout=60)) as session:
        session.expose(lambda: os.chmod(paths[11], 0), name="change")
        told = run_in(session, f"{READ}paths = {paths!r}\nread(paths[:10])\nchange()\nprint(read(paths[10:13]))")
    assert told == ["files 10", "PermissionError", "files 12"]


def test_a_fifo_among_them_is_opened_by_nobody(folder: str) -> None:
    """A program that writes there would be told that there is a reader."""
    files = filled(folder)
    a_fifo(files)
    with Sandbox(Policy(read=[folder], timeout=60)) as session, opened_files(files) as opened:
        assert run_in(session, f"{READ}print(len(read({in_order(files)[:11]!r})))") == 11
        names = opened()
        assert f"{files}/12.txt" in names and f"{files}/11.txt" not in names
        with pytest.raises(OSError, match="No such device"):
            os.open(f"{files}/11.txt", os.O_WRONLY | os.O_NONBLOCK)


def test_large_files_are_opened_when_they_are_asked_for(folder: str) -> None:
    files = filled(folder)
    paths = in_order(files)
    os.truncate(paths[11], (1 << 20) + 1)
    with Sandbox(Policy(read=[folder], timeout=60)) as session, opened_files(files) as opened:
        run_in(session, f"{READ}read({paths[:10]!r})")
        names = opened()
        assert paths[12] in names and paths[11] not in names


def test_what_the_guest_itself_changes_is_seen_at_once(folder: str) -> None:
    os.chmod(folder, 0o777)
    files = filled(folder, mode=0o777)
    code = f"""
import os
{READ}
paths = {in_order(files)!r}
first = read(paths[:10])
with open(paths[11], "w") as file: file.write("new")
os.unlink(paths[12])
os.rename(paths[14], paths[13])
print(read(paths[10:17]))
"""
    told = belljar.run(code, Policy(write=[folder], timeout=60))
    assert (
        told.stdout == f"{['files 10', 'new', 'FileNotFoundError', 'files 14', 'FileNotFoundError', 'files 15', 'files 16']}\n"
    ), told


# A descriptor of a file that was opened ahead is like any other. `fd` is one of files/11.txt.
DESCRIPTOR = f"""
import fcntl, os
{READ}
def opened(files):
    read([f"{{files}}/{{n}}.txt" for n in range(11)])
    low = os.dup(0); os.close(low)
    fd = os.open(f"{{files}}/11.txt", os.O_RDONLY)
    assert fd == low, (fd, low)
    return fd
"""


def test_a_descriptor_is_of_what_a_link_leads_to(folder: str) -> None:
    files = filled(folder)
    links = linked(files, folder)
    with Sandbox(Policy(read=[folder], timeout=60)) as session, opened_files(files) as opened:
        code = f"import os\n{READ}held = [open(f'{links}/{{n}}') for n in range(30)]\n"
        names = run_in(session, code + "print([os.readlink(f'/proc/self/fd/{file.fileno()}') for file in held])")
        assert names == in_order(files)[:30]
        assert len(opened()) > 30  # some ahead
        assert run_in(session, "print([open(f'/dev/fd/{file.fileno()}').read() for file in held])") == read(in_order(files)[:30])


def test_a_descriptor_is_like_any_other(folder: str) -> None:
    files = filled(folder)
    code = f"""{DESCRIPTOR}
files = {files!r}
fd = opened(files)
assert fcntl.fcntl(fd, fcntl.F_GETFL) & (os.O_ACCMODE | os.O_NONBLOCK | os.O_APPEND) == os.O_RDONLY
assert not os.get_inheritable(fd) and os.lseek(fd, 0, os.SEEK_CUR) == 0
assert os.readlink(f"/proc/self/fd/{{fd}}") == f"{{files}}/11.txt", os.readlink(f"/proc/self/fd/{{fd}}")
assert os.fstat(fd).st_ino == os.stat(f"{{files}}/11.txt").st_ino
os.read(fd, 3)
assert open(f"/dev/fd/{{fd}}").read() == "files 11" and os.read(fd, 99) == b"es 11"
fcntl.flock(fd, fcntl.LOCK_EX)
try: fcntl.flock(os.open(f"{{files}}/11.txt", os.O_RDONLY), fcntl.LOCK_EX | fcntl.LOCK_NB)
except BlockingIOError: pass
else: raise AssertionError("not locked")
for act in lambda: os.utime(fd), lambda: os.fchmod(fd, 0o600):
    try: act()
    except PermissionError as error: assert f"{{files}}/11.txt" in str(error), error
    else: raise AssertionError("not refused")
"""
    told = belljar.run(code, Policy(read=[folder], timeout=60))
    assert told.error is None and told.verdict == "ok", told


def test_by_a_descriptor_is_changed_what_may_be_written(folder: str) -> None:
    os.chmod(folder, 0o777)
    code = f"""{DESCRIPTOR}
os.mkdir({folder!r} + "/files")
files = {folder!r} + "/files"
for n in range(40): open(f"{{files}}/{{n}}.txt", "w").write(str(n))
read([f"{{files}}/{{n}}.txt" for n in range(3)])
fd = opened(files)
os.utime(fd, (1, 2))
os.fchmod(fd, 0o600)
assert (os.stat(fd).st_mtime, os.stat(fd).st_mode & 0o777) == (2, 0o600)
assert os.stat(f"{{files}}/11.txt").st_mtime == 2 and os.stat(f"{{files}}/12.txt").st_mtime > 2
os.close(fd)
os.rename(f"{{files}}/11.txt", f"{{files}}/new.txt")
assert os.open(f"{{files}}/new.txt", os.O_RDONLY) == fd
assert os.readlink(f"/proc/self/fd/{{fd}}") == f"{{files}}/new.txt"
"""
    told = belljar.run(code, Policy(write=[folder], timeout=60))
    assert told.verdict == "ok", told


@pytest.mark.parametrize(
    "act",
    ["os.closerange(3, 256)", "os.close(250)", "os.dup2(0, 250)", "a, b = socket.socketpair(); b.send(b'x' * 16); os.dup2(a.fileno(), 250)",
     "resource.setrlimit(resource.RLIMIT_NOFILE, (100, 100))", "os.chdir('/')", "signal.setitimer(signal.ITIMER_REAL, 0.0003, 0.0003)"],
)  # fmt: skip
def test_a_program_may_do_what_it_likes_with_its_descriptors(folder: str, act: str) -> None:
    files = filled(folder)
    code = f"""
import os, resource, signal, socket
{READ}
signal.signal(signal.SIGALRM, lambda *_: None)
paths = {in_order(files)!r}
told = read(paths[:12])
{act}
told += read(paths[12:])
assert read(paths) == told
if "250" in {act!r} and "dup2" in {act!r}:
    assert os.fstat(250).st_ino == os.fstat(a.fileno() if "socket" in {act!r} else 0).st_ino
    assert "socket" not in {act!r} or a.recv(99) == b"x" * 16
print(told)
"""
    told = belljar.run(code, Policy(read=[folder], timeout=60))
    assert told.stdout == f"{read(in_order(files))}\n", told


def test_a_number_that_the_program_has_stays_its_own(folder: str) -> None:
    files = filled(folder)
    code = f"""
import os
{READ}
os.dup2(0, 250)
before = os.listdir("/proc/self/fd")
assert read({in_order(files)!r}) == [f"files {{n}}" for n in range(40)]
assert os.listdir("/proc/self/fd") == before
print(os.fstat(250).st_ino == os.fstat(0).st_ino)
"""
    assert belljar.run(code, Policy(read=[folder], timeout=60)).stdout == "True\n"


def test_what_the_program_has_open_is_what_it_has_opened(folder: str) -> None:
    """Counters of leaks list the descriptors."""
    files = filled(folder)
    code = f"""
import os
{READ}
before = os.listdir("/proc/self/fd")
read({in_order(files)!r} * 2)
assert all(os.stat(path).st_size for path in {in_order(files)!r} * 3)
assert os.listdir("/dev/fd") == before == [entry.name for entry in os.scandir("/proc/self/fd")]
os.dup2(0, 250)
assert os.listdir("/dev/fd") == before + ["250"]
"""
    told = belljar.run(code, Policy(read=[folder], timeout=60))
    assert told.verdict == "ok", told


def test_an_import_opens_its_own_files(folder: str) -> None:
    """Modules come in an order of their own."""
    package = pathlib.Path(folder, "package")
    package.mkdir()
    for number in range(FILES):
        (package / f"m{number}.py").write_text(f"number = {number}")
    (package / "__init__.py").write_text("")
    py_compile_all(package)
    code = f"import sys\nsys.path.insert(0, {folder!r})\n" + "".join(f"import package.m{number}\n" for number in range(10))
    with Sandbox(Policy(read=[folder], timeout=60)) as session, opened_files(str(package / "__pycache__")) as opened:
        run_in(session, code)
        assert {name.split("/")[-1].split(".")[0] for name in opened()} == {"__init__"} | {f"m{number}" for number in range(10)}


def py_compile_all(package: pathlib.Path) -> None:
    for path in package.glob("*.py"):
        py_compile.compile(str(path), doraise=True)
    for path in (package, package / "__pycache__"):
        path.chmod(0o755)


def test_what_else_waits_in_the_socket_is_not_taken_for_a_file(folder: str) -> None:
    """Files of another list wait behind those of the first, as after a call that a signal cut off."""
    files = filled(folder)
    code = f"""
import ctypes
{READ}
paths = {in_order(files)!r}
told = read(paths[:10])
others = "\\0".join(paths[:17]).encode() + b"\\0\\0"
mark = {0x62656C6C6A617204}
assert ctypes.CDLL(None).syscall(257, -100, others, 0, 0, ctypes.c_ulong(mark)) > 2
print(told + read(paths[10:]))
"""
    told = belljar.run(code, Policy(read=[folder], timeout=60))
    assert told.stdout == f"{read(in_order(files))}\n", told


def test_all_descriptors_can_be_held(folder: str) -> None:
    """Those that were opened ahead take no numbers."""
    files = filled(folder)
    code = f"""
import os
{READ}
paths = {in_order(files)!r}
read(paths[:12])
held = []
try:
    while True: held.append(os.open(paths[len(held) % 40], os.O_RDONLY))
except OSError as error:
    assert error.errno == 24, error
print(len(held))
assert read(paths[:3]) == ["OSError"] * 3
os.closerange(held[-5], 250)
assert read(paths) == [f"files {{n}}" for n in range(40)]
"""
    told = belljar.run(code, Policy(read=[folder], timeout=60))
    assert told.verdict == "ok" and 256 - 12 <= int(told.stdout) <= 256 - 3, told


def test_threads_and_guests_have_their_own_contents(folder: str) -> None:
    """More guests than may have files opened ahead, each with threads that go through the same files."""
    files = filled(folder)
    code = f"""
import concurrent.futures
{READ}
paths = {in_order(files)!r}
with concurrent.futures.ThreadPoolExecutor(4) as pool:
    for told in pool.map(read, [paths, paths[::-1], paths * 3, paths]):
        assert set(told) == {{f"files {{n}}" for n in range(40)}}, told
assert read(paths) == [f"files {{n}}" for n in range(40)]
"""
    with Template(Policy(read=[folder], timeout=60)) as template, contextlib.ExitStack() as stack:
        sessions = [stack.enter_context(template.sandbox()) for _ in range(12)]
        for session in sessions * 2:
            told = session.run_code(code)
            assert told.verdict == "ok" and not told.violations, told


def test_single_files_that_are_granted_are_opened_when_they_are_asked_for(folder: str) -> None:
    files = filled(folder)
    some = in_order(files)[:20]
    with Sandbox(Policy(read=some, timeout=60)) as session, opened_files(files) as opened:
        assert run_in(session, f"{READ}print(read({some[:10]!r}))") == read(some[:10])
        assert set(opened()) <= set(some[:10])


@pytest.mark.parametrize(
    ("act", "code"),
    [
        (lambda paths: os.unlink(paths[30]), "read(paths[:1])"),
        (lambda paths: None, "import time; time.sleep(1.1); read(paths[:1])"),
        (lambda paths: None, "read(paths[:9][::-1])"),
    ],
    ids=["when something changes", "when a second has passed", "when it is not what the program wants"],
)
def test_a_file_is_let_go_when_another_is_opened(folder: str, act: Callable[[list[str]], object], code: str) -> None:
    """What waits in the socket of a guest is given back: a host's disk is not kept full by it."""
    files = filled(folder)
    paths = in_order(files)
    with Sandbox(Policy(read=[folder], timeout=60)) as session:
        run_in(session, f"{READ}paths = {paths!r}\nread(paths[:10])")
        with open(paths[12], "a") as file:
            assert not is_free(file.fileno())
            act(paths)
            run_in(session, code)
            assert is_free(file.fileno())


def is_free(fd: int) -> bool:
    """Whether nobody else has the file open: then the kernel gives a lease of it."""
    import fcntl

    old = signal.signal(signal.SIGIO, signal.SIG_IGN)
    try:
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_WRLCK)
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    except BlockingIOError:
        return False
    finally:
        signal.signal(signal.SIGIO, old)
    return True


WATCHED = """
import os, resource, sys

def is_watched():
    top = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    for number in range(top - 8, top):
        try:
            os.fstat(number)
            return True
        except OSError:
            pass
    return False

folder, rounds, kind = sys.argv[1:] if len(sys.argv) == 4 else ARGUMENTS
for number in range(int(rounds)):
    path = f"{folder}/{number % FILES}.txt"
    if kind == "stat":
        os.stat(path)
    else:
        with open(path) as file:
            assert file.read() == f"files {number % FILES}"
print(is_watched())
""".replace(
    "FILES", str(FILES)
)


@pytest.mark.parametrize("kind", ["open", "stat"])
def test_a_command_has_folders_watched_when_that_pays(folder, kind):
    """The end of a watch is 12 ms for whoever waits for the command."""
    files = filled(folder)
    for rounds, answer in (("3", "False"), ("40", "False"), ("600", "True")):
        command = ["belljar", "run", "--read", folder, "-c", WATCHED, files, rounds, kind]
        run = subprocess.run(command, capture_output=True, text=True)
        assert (run.stdout, run.returncode) == (answer + "\n", 0), (rounds, run)
    with Template(Policy(read=[folder])) as template:  # whose supervisor stays
        run = template.run(WATCHED.replace("ARGUMENTS", repr((files, "3", kind))))
        assert run.stdout == "True\n", run
