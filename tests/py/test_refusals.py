"""A refusal is a refusal: it is on record, and what was none is the program's own error. And what is permitted beside it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

import belljar

# What ends a run as a violation: each by the call that a program makes, and by the call behind it.
REFUSED = {
    "open for reading": "open('/etc/shadow')",
    "open for writing": "open('/etc/new', 'w')",
    "a listing": "import os; os.listdir('/root')",
    "mkdir": "import os; os.mkdir('/etc/new')",
    "rmdir": "import os; os.rmdir('/etc/ssl')",
    "unlink": "import os; os.remove('/etc/hosts')",
    "rename": "import os; os.rename('/etc/hosts', '/etc/new')",
    "link": "import os; os.link('/etc/hosts', '/etc/new')",
    "symlink": "import os; os.symlink('x', '/etc/new')",
    "truncate": "import os; os.truncate('/etc/hosts', 0)",
    "chmod": "import os; os.chmod('/etc/hosts', 0)",
    "utime": "import os; os.utime('/etc/hosts')",
    "fchmod of a pipe": "import os; os.fchmod(os.pipe()[0], 0)",
    "fchmod of a file that is only read": "import os; os.fchmod(os.open('/etc/hosts', 0), 0)",
    "fcntl": "import fcntl, os; fcntl.fcntl(0, fcntl.F_SETFL, os.O_ASYNC)",
    "F_SETOWN": "import fcntl; fcntl.fcntl(0, fcntl.F_SETOWN, 1)",
    "ioctl": "import fcntl; fcntl.ioctl(0, 0x5412, b'x')",
    "kill": "import os; os.kill(1 << 20, 9)",
    "fork": "import os; os.fork()",
    "a program": "import subprocess; subprocess.run(['/bin/true'])",
    "os.system": "import os; os.system('true')",
    "exec": "import os; os.execv('/bin/true', ['true'])",
    "a process": "import multiprocessing as m; m.get_context('fork').Process(target=print).start()",
    "a socket": "import socket; socket.socket()",
    "a look-up": "import socket; socket.getaddrinfo('localhost', 1)",
    "chroot": "import os; os.chroot('/work')",
    "mknod": "import os; os.mkfifo('/work/fifo')",
    "setuid": "import os; os.setuid(0)",
    "a call that kills": "import ctypes; ctypes.CDLL(None).syscall(101, 0, 0, 0, 0)",
    "a closed channel": "import os, time; os.close(3); time.sleep(5)",
    "rubbish on the channel": "import os, time; os.write(3, b'x' * 100); time.sleep(5)",
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_ends_as_a_violation_is_on_record(name: str) -> None:
    execution = belljar.run(REFUSED[name])
    assert (execution.verdict, execution.exit) == ("violation", 126), execution.error
    assert execution.refused > 0
    for record in execution.violations:
        assert record.op and record.rule and record.hint
    assert execution.violations


OWN = {
    "a mode": "import os; open('mine', 'w').close(); os.chmod('mine', 0); open('mine')",
    "an exception": "raise PermissionError(1, 'no')",
    "another one": "raise PermissionError(13, 'no', '/etc/shadow')",
    "a read-only file": "import os; open('mine', 'w').close(); os.chmod('mine', 0o400); open('mine', 'a')",
    "an owner": "import os; open('mine', 'w').close(); os.chown('mine', 0, 0)",
}


@pytest.mark.parametrize("name", OWN)
def test_a_programs_own_permission_error_is_an_error(name: str) -> None:
    execution = belljar.run(OWN[name])
    assert execution.error is not None and execution.error.name == "PermissionError"
    assert (execution.verdict, execution.exit, execution.violations, execution.refused) == ("error", 1, [], 0)


def test_the_runs_of_a_session_are_told_apart() -> None:
    with belljar.Sandbox() as sandbox:
        verdicts = [sandbox.run_code(code).verdict for code in (REFUSED["open for reading"], OWN["a mode"], REFUSED["fork"])]
    assert verdicts == ["violation", "error", "violation"]


def test_the_command_says_the_same(tmp_path: Path) -> None:
    program = Path(os.environ["BELLJAR_BUILD"], "belljar") if "BELLJAR_BUILD" in os.environ else "belljar"
    found = subprocess.run([program, "run", "-"], input=OWN["a mode"].replace("; ", "\n"), capture_output=True, text=True)
    assert found.returncode == 1 and "refused" not in found.stderr


def test_standard_streams_by_their_names() -> None:
    code = """
import codecs, os, pathlib, stat
with open("/dev/stdin") as numbers:
    print(numbers.readline(), end="")
for path in ("/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"):
    for opener in (open, codecs.open, lambda p, m: pathlib.Path(p).open(m)):
        with opener(path, "a") as out:
            out.write(path + "\\n")
with open("/dev/stderr", "w") as err:
    print("errors", file=err)
print("still open", [stat.S_ISFIFO(os.stat(path).st_mode) for path in ("/dev/stdin", "/dev/fd/2")], os.path.exists("/dev/fd/77"))
assert os.access("/dev/stdout", os.W_OK) and os.path.realpath("/dev/stdin") == "/dev/stdin"
"""
    execution = belljar.run(code, stdin="first\nrest\n")
    names = "".join(f"{path}\n" * 3 for path in ("/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"))
    assert execution.stdout == f"first\n{names}still open [True, True] False\n", execution.error
    assert (execution.verdict, execution.stderr, execution.violations) == ("ok", "errors\n", [])


def test_any_descriptor_by_its_number_from_c_too() -> None:
    code = """
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
fd = os.open("/work/file", os.O_RDWR | os.O_CREAT)
os.write(fd, b"content")
os.lseek(fd, 0, 0)
copy = libc.open(f"/dev/fd/{fd}".encode(), os.O_RDONLY)
assert copy not in (-1, fd) and os.read(copy, 10) == b"content"  # a copy: one position
assert os.stat(f"/proc/self/fd/{fd}").st_ino == os.stat("/work/file").st_ino
os.dup2(fd, 1)
os.write(os.open("/dev/stdout", os.O_WRONLY), b"!")  # what 1 is now
assert open("/work/file").read() == "content!"
assert libc.open(b"/dev/fd/99", 0) == -1 and ctypes.get_errno() == 2
for path in ("/dev/fd", "/dev/fd/1/x", "/dev/fd/", "/dev/fd/01x", "/dev/fd/-1", "/proc/self/fd"):
    try:
        os.listdir(path)
        raise SystemExit(path)
    except OSError:
        pass
"""
    execution = belljar.run(code)
    assert (execution.verdict, execution.violations) == ("ok", []), execution.error


def test_flags_that_may_be_set() -> None:
    code = """
import fcntl, os
ends = os.pipe()
for fd in (*ends, 1, os.open("/work/file", os.O_RDWR | os.O_CREAT)):
    flags = fcntl.fcntl(fd, fcntl.F_GETFL)
    fcntl.fcntl(fd, fcntl.F_SETFL, flags | os.O_NONBLOCK)
    assert fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_NONBLOCK
    fcntl.fcntl(fd, fcntl.F_SETFL, flags)
    assert fcntl.fcntl(fd, fcntl.F_GETFL) == flags
for flag in (os.O_ASYNC, os.O_DIRECT, os.O_NOATIME):
    try:
        fcntl.fcntl(ends[0], fcntl.F_SETFL, flag)
        raise SystemExit(flag)
    except PermissionError:
        pass
"""
    execution = belljar.run(code)
    assert (execution.verdict, execution.refused) == ("ok", 3), execution.error


def test_fchmod_changes_the_file_that_is_meant(tmp_path: Path) -> None:
    code = """
import os
one, two = (os.open(name, os.O_RDWR | os.O_CREAT, 0o600) for name in ("one", "two"))
os.fchmod(one, 0o640)
assert [os.stat(name).st_mode & 0o777 for name in ("one", "two")] == [0o640, 0o600]
folder = os.open(".", 0)
os.fchmod(folder, 0o750)
assert os.stat(".").st_mode & 0o777 == 0o750
os.dup2(two, one)  # the number is another file's now
os.rename("two", "three")
for fd in (one, two):
    try:
        os.fchmod(fd, 0)
        raise SystemExit(fd)
    except PermissionError:
        pass
assert [os.stat(name).st_mode & 0o777 for name in ("one", "three")] == [0o640, 0o600]
"""
    execution = belljar.run(code)
    assert execution.verdict == "ok", execution.error
    assert [record.op for record in execution.violations] == ["fchmod", "fchmod"]
    assert [record.target for record in execution.violations] == ["/work/one", "/work/two"]
