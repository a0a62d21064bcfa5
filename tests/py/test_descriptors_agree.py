"""What a descriptor tells agrees with what its path tells, and with what plain Python finds: each row prints True."""

import json
import subprocess

import pytest

import belljar
import looking

pytestmark = pytest.mark.core

SETUP = """
import fcntl, json, os, shutil
made = open('/tmp/made', 'w+')
"""

# A claim, and code that is True if it holds
ROWS = {
    "its own file is its own by descriptor": "os.fstat(made.fileno()).st_uid == os.stat('/tmp/made').st_uid == os.getuid()",
    "and its group": "os.fstat(made.fileno()).st_gid == os.stat('/tmp/made').st_gid == os.getgid()",
    "a file of the system is root's by descriptor": "os.fstat(os.open(os.__file__, os.O_RDONLY)).st_uid == os.stat(os.__file__).st_uid == 0",
    "all else of a stat is the same": "os.fstat(made.fileno())[:4] == os.stat('/tmp/made')[:4]",
    "a bad descriptor has none": "error(os.fstat, 99) == 9",
    "a file that was opened blocks": "os.get_blocking(made.fileno()) and os.get_blocking(os.open(os.__file__, os.O_RDONLY))",
    "one that is appended to appends": "fcntl.fcntl(open('/tmp/made', 'a'), fcntl.F_GETFL) & (os.O_APPEND | os.O_NONBLOCK) == os.O_APPEND",
    "some of the disk is used": "all(0 < shutil.disk_usage(path).used < shutil.disk_usage(path).total for path in ('/tmp', os.__file__))",
    "chmod that follows no link is not available, as elsewhere on Linux": "raised(os.chmod, '/tmp/made', 0o600, follow_symlinks=False) is NotImplementedError",
    "a pipe tells its size": "fcntl.fcntl(os.pipe()[0], fcntl.F_GETPIPE_SZ) == 65536",
    "and may be smaller": "fcntl.fcntl(os.pipe()[0], fcntl.F_SETPIPE_SZ, 4096) == 4096",
    "but not larger": "error(fcntl.fcntl, os.pipe()[0], fcntl.F_SETPIPE_SZ, 1 << 20) == 1",
    "the standard library can be read": "all(os.access(entry.path, os.R_OK) for entry in os.scandir(os.path.dirname(os.__file__)) if entry.name.endswith('.py'))",
    "no terminal is ENOTTY": "error(os.tcgetpgrp, 0) == error(os.ttyname, 0) == error(os.get_terminal_size, 0) == 25",
}  # fmt: skip

HELPERS = """
def raised(call, *arguments, **named):
    try:
        call(*arguments, **named)
    except Exception as exception:
        return type(exception)
def error(call, *arguments):
    try:
        call(*arguments)
    except OSError as exception:
        return exception.errno
"""


@pytest.fixture(scope="module")
def found():
    with belljar.Template(belljar.Policy(), python="/usr/bin/python3") as template:
        execution = template.run(SETUP + HELPERS + f"print(json.dumps([bool(eval(code)) for code in {list(ROWS.values())!r}]))")
    assert execution.verdict == "ok", execution.stderr
    return dict(zip(ROWS, json.loads(execution.stdout)))


@pytest.mark.parametrize("claim", ROWS)
def test_a_descriptor_and_its_path_agree(found, claim):
    if claim == "a file of the system is root's by descriptor" and looking.is_powerless_root():
        pytest.skip("this root has no capabilities, and its guests are root to the kernel: files of root's are their own")
    assert found[claim], ROWS[claim]


def test_names_of_services_and_protocols_are_known():
    """They are read as outside, where the machine has the files."""
    code = """
import socket
for ask in (socket.getservbyname, socket.getprotobyname):
    for name in ('http', 'tcp', 'nothing'):
        try: print(ask(name))
        except OSError as e: print(e)
"""
    outside = subprocess.run(["/usr/bin/python3", "-I", "-c", code], capture_output=True, text=True).stdout
    execution = belljar.run(code, python="/usr/bin/python3")
    assert (execution.stdout, execution.violations) == (outside, [])
