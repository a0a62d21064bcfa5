"""Scratch: the quota whatever a guest does to its files, belljar's own folders and grants, what the host reads of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import belljar

MEBI = 1 << 20
QUOTA = 8 * MEBI
ALLOWED = QUOTA + 8 * MEBI
WRAPPER = Path(__file__).with_name("without_namespaces.py")

# The most that a file system holds while code runs on it, as another process than the guest sees it.
HOST = """
import json, os, sys, threading, time
import belljar
code, place, branch = json.load(sys.stdin)
def used():
    found = os.statvfs(place or "/dev/shm")
    return (found.f_blocks - found.f_bfree) * found.f_frsize
peak, done, before = 0, False, used()
def watch():
    global peak
    while not done:
        peak = max(peak, used() - before)
        time.sleep(0.001)
watcher = threading.Thread(target=watch, daemon=True)
watcher.start()
policy = belljar.Policy(scratch="8M", threads=8, timeout=60, scratch_dir=place)
with belljar.Sandbox(policy) as parent:
    sandbox = parent.fork() if branch else parent
    execution = sandbox.run_code(code)
    done = True
    watcher.join()
    print(json.dumps([execution.verdict, peak, [record.rule for record in execution.violations], execution.stdout]))
"""

KEEPS = """
import os, time
held = []
def filled(name):
    fd = os.open(name, os.O_RDWR | os.O_CREAT)
    for _ in range(7):
        os.write(fd, bytes(1 << 20))
        time.sleep(0.002)
    return fd
for i in range(24):
    name = f"/tmp/{i}"
"""
ATTACKS = {
    "deleted": KEEPS + "    held.append(filled(name)); os.unlink(name)",
    "deleted, open for reading": KEEPS + "    os.close(filled(name)); held.append(os.open(name, os.O_RDONLY)); os.unlink(name)",
    "deleted without any permission": KEEPS + "    held.append(filled(name)); os.chmod(name, 0); os.unlink(name)",
    "renamed over": KEEPS + "    held.append(filled(name)); open('/tmp/e', 'w').close(); os.rename('/tmp/e', name)",
    "two names deleted": KEEPS + "    held.append(filled(name)); os.link(name, '/tmp/e'); os.unlink(name); os.unlink('/tmp/e')",
    "emptied and filled again": KEEPS + "    held.append(filled(name)); os.unlink(name); os.ftruncate(held[-1], 0)\n"
    "    os.pwrite(held[-1], bytes(7 << 20), 0)",
    "mapped, closed, deleted": """
import ctypes, os, time
libc = ctypes.CDLL(None)
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
maps = []
for i in range(24):
    fd = os.open(f"/tmp/{i}", os.O_RDWR | os.O_CREAT)
    os.ftruncate(fd, 7 << 20)
    maps.append(libc.mmap(None, 7 << 20, 3, 1, fd, 0))
    os.close(fd)
    os.unlink(f"/tmp/{i}")
time.sleep(0.1)  # what nobody has open is let go of every 25 ms
for start in maps:
    for at in range(0, 7 << 20, 4096):
        ctypes.memset(start + at, 1, 1)
    time.sleep(0.002)
""",
    "holes filled later": """
import os, time
held = [os.open(f"/tmp/{i}", os.O_RDWR | os.O_CREAT) for i in range(24)]
for fd in held:
    os.ftruncate(fd, 8 << 20)
time.sleep(0.1)
for fd in held:
    for at in range(0, 8 << 20, 1 << 20):
        os.pwrite(fd, bytes(1 << 19), at)
        time.sleep(0.001)
""",
    "four descriptors of one file, appending": """
import os, time
held = []
for i in range(24):
    held.append([os.open(f"/tmp/{i}", os.O_WRONLY | os.O_CREAT | os.O_APPEND) for _ in range(4)])
    os.unlink(f"/tmp/{i}")
for four in held:
    for _ in range(7):
        for fd in four:
            os.write(fd, bytes(1 << 18))
        time.sleep(0.002)
""",
}
END = "\nimport time\ntime.sleep(1)"

HONEST = """
import os, sqlite3, tempfile
for _ in range(600):
    with tempfile.TemporaryFile() as file:
        file.write(bytes(65536))
    with tempfile.NamedTemporaryFile() as file:
        file.write(bytes(65536))
for _ in range(20):
    open("a", "wb").write(bytes(3 << 20))
    open("b", "wb").write(bytes(3 << 20))
    os.replace("b", "a")
files = [open(f"/tmp/{i}", "w") for i in range(100)]
[file.write("x") for file in files]
base = sqlite3.connect("/tmp/base.db")
base.execute("create table t(a)")
base.executemany("insert into t values (?)", [(i,) for i in range(1000)])
base.commit()
open("last", "wb").write(bytes(3 << 20))
print("done")
"""


@pytest.fixture
def place() -> Iterator[str]:
    """A file system of its own, so that nobody else's files are measured."""
    path = tempfile.mkdtemp()  # tmp_path is root's alone
    os.chmod(path, 0o755)
    mount = ["mount", "-t", "tmpfs", "-o", "size=1G,mode=1777", "belljar", path]
    if os.geteuid() != 0 or subprocess.run(mount).returncode != 0:
        os.rmdir(path)
        pytest.skip("only root can mount a file system to measure")
    yield path
    subprocess.run(["umount", "-l", path], check=True)
    os.rmdir(path)


def run_outside(code: str, place: str, *, namespaces: bool = False, branch: bool = False) -> tuple[str, int, list[str], str]:
    wrapper = [] if namespaces else [sys.executable, str(WRAPPER)]
    found = subprocess.run(
        [*wrapper, sys.executable, "-c", HOST], input=json.dumps([code, place, branch]), capture_output=True, text=True, timeout=200
    )
    assert found.returncode == 0, found.stderr
    verdict, peak, rules, stdout = json.loads(found.stdout)
    return verdict, peak, rules, stdout


def need_namespaces() -> None:
    if belljar.Template().layers["namespaces"] != "on":
        pytest.skip("no user namespaces: a session is not forked")


@pytest.mark.parametrize("attack", ATTACKS)
def test_whatever_may_be_open_counts(attack: str, place: str) -> None:
    verdict, peak, rules, _ = run_outside(ATTACKS[attack] + END, place)
    assert (verdict, rules) == ("violation", ["scratch"])
    assert peak <= ALLOWED


def test_whatever_may_be_open_counts_in_a_branch(place: str) -> None:
    need_namespaces()
    verdict, peak, rules, _ = run_outside(ATTACKS["deleted"] + END, place, namespaces=True, branch=True)
    assert (verdict, rules) == ("violation", ["scratch"])
    assert peak <= ALLOWED


def test_programs_that_give_their_files_back_never_run_out(place: str) -> None:
    assert run_outside(HONEST, place)[::3] == ("ok", "done\n")


def test_files_that_the_host_deletes_are_given_back() -> None:
    code = """
import belljar
with belljar.Sandbox(belljar.Policy(scratch="8M", scratch_files=20)) as sandbox:
    for i in range(12):
        sandbox.files["a"] = bytes(3 << 20)
        assert sandbox.run_code("1").verdict == "ok"
        del sandbox.files["a"]
"""
    subprocess.run([sys.executable, str(WRAPPER), sys.executable, "-c", code], check=True, timeout=120)


# ---- belljar's own folders ----

NEIGHBOUR = """
import glob, json, os, sys
import belljar
grant, code = json.load(sys.stdin)
with belljar.Sandbox(belljar.Policy(scratch_dir="/dev/shm")) as victim:
    victim.run_code("open('secret', 'w').write('secret')")
    found = [path for path in glob.glob("/dev/shm/.belljar-scratch-*/guest-*/work/secret") if open(path).read() == "secret"]
    folder = found[0][:found[0].index("/guest-")]
    with belljar.Sandbox(belljar.Policy(**{grant: ["/dev/shm"]})) as attacker:
        execution = attacker.run_code(f"path, folder = {found[0]!r}, {folder!r}\\n" + code)
    left = victim.run_code("print(open('secret').read(), sorted(__import__('os').listdir('.')))").stdout
    print(json.dumps([execution.value, execution.verdict, [record.hint for record in execution.violations], left]))
"""

REACHES = """
import os, shutil
outcomes = []
def attempt(act):
    try:
        outcomes.append(str(act()))
    except OSError as error:
        outcomes.append("refused")
work = os.path.dirname(path)
attempt(lambda: open(path).read())
attempt(lambda: open(path, "w").write("changed"))
attempt(lambda: open(work + "/new", "w").close())
attempt(lambda: os.listdir(work))
attempt(lambda: os.listdir(folder))
attempt(lambda: os.stat(path))
attempt(lambda: os.chdir(work))
attempt(lambda: os.rename(folder, "/dev/shm/other"))
attempt(lambda: os.rename(path, "/dev/shm/taken"))
attempt(lambda: os.link(path, "/dev/shm/taken"))
attempt(lambda: os.chmod(path, 0))
attempt(lambda: os.truncate(path, 0))
attempt(lambda: os.unlink(path))
attempt(lambda: os.mkdir(work + "/new"))
os.chdir("/dev/shm")
attempt(lambda: open(path[len("/dev/shm/"):]).read())
attempt(lambda: open("/dev/shm/./x/../" + path[len("/dev/shm/"):]).read())
attempt(lambda: os.open(path[len("/dev/shm/"):], 0, dir_fd=os.open(".", 0)))
os.symlink(path, "/work/link")
attempt(lambda: open("/work/link").read())
os.symlink(folder, "/work/folder")
attempt(lambda: open("/work/folder/" + path[len(folder) + 1:]).read())
outcomes
"""


@pytest.mark.parametrize("grant", ["read", "write"])
def test_no_grant_reaches_other_guests_files(grant: str) -> None:
    with tempfile.TemporaryDirectory(dir="/dev/shm", prefix="belljar-test-") as top:
        os.chmod(top, 0o777)
        program, code = NEIGHBOUR.replace("/dev/shm", top), REACHES.replace("/dev/shm", top)
        found = subprocess.run([sys.executable, str(WRAPPER), sys.executable, "-c", program], input=json.dumps([grant, code]),
                               capture_output=True, text=True, timeout=120)  # fmt: skip
    assert found.returncode == 0, found.stderr
    outcomes, _, hints, left = json.loads(found.stdout)
    assert set(outcomes) == {"refused"}
    assert hints and "other guests' files" in hints[0]
    assert left == "secret ['secret']\n"


def test_what_lies_beside_them_is_granted(tmp_path_factory: pytest.TempPathFactory) -> None:
    path = Path("/dev/shm") / f"belljar-test-{os.getpid()}"
    path.write_text("granted")
    path.chmod(0o644)
    try:
        code = f"open({str(path)!r}).read()"
        assert belljar.run(code, policy=belljar.Policy(read=[str(path)])).value == "granted"
    finally:
        path.unlink()


def test_a_grant_of_them_is_an_error(tmp_path: Path) -> None:
    own = tmp_path / ".belljar-scratch-0123456789abcdef" / "guest-1"
    own.mkdir(parents=True)
    (tmp_path / "link").symlink_to(own)
    for path in (own.parent, own, tmp_path / "link"):
        with pytest.raises(belljar.SandboxError, match="not permitted"):
            belljar.run("1", policy=belljar.Policy(read=[str(path)]))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root starts it as another user")
def test_a_grant_that_the_user_cannot_write_to_names_the_user_and_both_remedies(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    with pytest.raises(belljar.SandboxError) as caught:
        belljar.run("1", policy=belljar.Policy(write=[str(tmp_path)]))
    assert "for user 65534" in str(caught.value)
    assert "chown" in str(caught.value) and "--user" in str(caught.value)


# ---- What the host reads ----

HOLES = """
import os
for i in range(20):
    with open(f"hole{i}", "wb") as file:
        file.truncate(8 << 20)
open("dense", "wb").write(bytes(1 << 20))
for i in range(40):
    os.link("dense", f"name{i}")
open("fine", "w").write("fine")
"""


def test_what_is_read_of_files_with_holes_or_many_names_is_bounded(tmp_path: Path) -> None:
    files = belljar.run(HOLES, policy=belljar.Policy(scratch="8M")).files
    total, refused = 0, ""
    for name in files:
        try:
            total += len(files[name])
        except belljar.SandboxError as error:
            refused = str(error)
    assert total <= 2 * QUOTA
    assert "says that it has" in refused and "8388608 bytes of the policy's scratch" in refused and "files.open()" in refused
    assert files["fine"] == b"fine"
    with files.open("hole7") as file:
        assert file.read(10) == bytes(10)
    with pytest.raises(belljar.SandboxError, match="says that it has"):
        dict(files)
    with pytest.raises(belljar.SandboxError, match="says that it has"):
        files.collect("*", tmp_path)
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 2 * QUOTA


def test_a_file_with_holes_can_be_read_again_and_again() -> None:
    with belljar.Sandbox(belljar.Policy(scratch="8M")) as sandbox:
        for _ in range(5):
            sandbox.run_code("with open('a', 'wb') as file: file.truncate(7 << 20)")
            assert len(sandbox.files["a"]) == 7 << 20
            sandbox.run_code("import os; os.rename('a', 'b')")
            assert len(sandbox.files["b"]) == 7 << 20
            sandbox.run_code("os.remove('b')")
