"""Every call that is answered with success though nothing was done is in a table of ARCHITECTURE.md, with the reason why nobody can tell,
and there is none beside them."""

import json
import pathlib
import re
import subprocess

import pytest

from belljar import Policy, Template

PAGE = pathlib.Path(__file__).resolve().parent.parent.parent / "ARCHITECTURE.md"
# These do what they say, by other calls (guest/trap.c).
DONE = {"newfstatat", "mmap", "fchmod", "utimensat", "fstatfs", "sendmsg"}


def explained(*options):
    return json.loads(subprocess.run(["belljar", "explain", "--json", *options], check=True, stdout=subprocess.PIPE).stdout)[
        "syscalls"
    ]


def without_effect():
    """By the policy's rows: what succeeds in the filter, and what the guest's handler answers by itself."""
    rows = explained()
    return {row["name"] for row in rows if row["action"] == "does nothing"} | {
        row["name"] for row in rows if row["action"] == "emulated in the guest"
    } - DONE


def table():
    """The page's rows: call, reason."""
    if not PAGE.exists():
        pytest.skip("ARCHITECTURE.md is not here: an installed copy")
    text = PAGE.read_text().split("## Calls without an effect")[1].split("\n## ")[0]
    rows = {}
    for calls, reason in re.findall(r"^\| (`.+?) \| (.+?) \|$", text, re.M):
        for call in re.findall(r"`(\w+)`", calls):
            rows[call] = reason
    return rows


# Answered by the supervisor, where the kernel would have done what is done already (supervisor/self.c, files/change.c).
SAME = {"chown", "lchown", "fchownat", "utimensat", "utimes", "utime", "setuid", "setgid", "setreuid", "setregid", "setresuid", "setresgid", "setfsuid", "setfsgid",
        "sched_setaffinity", "sched_setscheduler", "sched_setparam"}  # fmt: skip


def test_the_table_has_them_all_each_with_a_reason():
    rows = table()
    assert set(rows) == without_effect() | SAME
    assert all(len(reason) > 20 for reason in rows.values())


def test_the_test_sees_a_call_that_is_not_in_the_table():
    assert "fsync" in without_effect() and "sched_yield" in without_effect()


def test_a_grant_to_write_makes_flushes_real():
    rows = explained("--write", "/var/tmp")
    assert {row["name"] for row in rows if row["action"] == "continued" and row["grant"] == "write"} == {
        "fsync",
        "fdatasync",
        "msync",
        "preadv2",
        "pwritev2",
    }


@pytest.mark.core
@pytest.mark.parametrize("write", [False, True])
def test_a_flush_of_nothing_fails_with_a_grant_and_without(tmp_path, write):
    tmp_path.chmod(0o777)
    for folder in tmp_path.parents:
        if folder.owner() == tmp_path.owner() and folder.is_relative_to("/tmp") and folder != pathlib.Path("/tmp"):
            folder.chmod(0o755)
    code = "import os\nfor go in (os.fsync, os.fdatasync):\n  try: go(99)\n  except OSError as e: print(e.errno)\nf = open('/tmp/f', 'w'); print(os.fsync(f.fileno()))"
    with Template(Policy(write=[tmp_path] if write else [])) as template:
        assert template.run(code).stdout == "9\n9\nNone\n"


@pytest.mark.core
@pytest.mark.parametrize("write", [False, True])
def test_writing_with_a_flush_writes_with_a_grant_and_without(tmp_path, write):
    tmp_path.chmod(0o777)
    code = """import os
for folder in FOLDERS:
    file = os.open(folder + "/f", os.O_RDWR | os.O_CREAT)
    for flag in os.RWF_SYNC, os.RWF_DSYNC, os.RWF_SYNC | RWF_APPEND:
        into = bytearray(3)
        print(os.pwritev(file, [b"ab", b"c"], 0, flag), os.preadv(file, [into], 0, flag), into.decode(), os.fstat(file).st_size)
    for number, flag in (99, os.RWF_SYNC), (file, 1 << 20):
        try: os.pwritev(number, [b"x"], 0, flag)
        except OSError as e: print(e.errno)
"""
    code = code.replace("RWF_APPEND", "0x10").replace(
        "FOLDERS", repr(["/work"] + [str(tmp_path)] * write)
    )  # os has it from 3.12 on
    with Template(Policy(write=[tmp_path] if write else [])) as template:
        execution = template.run(code)
        assert (execution.stdout, execution.violations) == ("3 3 abc 3\n3 3 abc 3\n3 3 abc 6\n9\n95\n" * (1 + write), []), execution


@pytest.mark.core
def test_without_files_writing_with_a_flush_fails_as_writing_with_any_flag():
    code = """import ctypes
libc = ctypes.CDLL(None, use_errno=True)
for flag in 0, 2, 4, 16, 1 << 20:
    print(libc.syscall(328, 1, ctypes.c_void_p(0), 0, 0, 0, flag), ctypes.get_errno())
"""
    with Template(Policy(profile="compute"), preload=["ctypes"]) as template:
        assert template.run(code).stdout == "-1 95\n" * 5


@pytest.mark.core
def test_advice_about_merging_and_dumps_is_taken_of_memory_that_is_there():
    code = """import ctypes, mmap
memory = mmap.mmap(-1, 8192)
memory[:] = bytes(range(256)) * 32
print([memory.madvise(advice) for advice in (mmap.MADV_MERGEABLE, mmap.MADV_UNMERGEABLE, mmap.MADV_DONTDUMP, mmap.MADV_DODUMP)])
print(memory[:] == bytes(range(256)) * 32)
libc = ctypes.CDLL(None, use_errno=True)
at = ctypes.addressof(ctypes.c_char.from_buffer(memory))
for address, advice in (4096, 12), (at + 1, 12), (4096, 16), (at, 10), (at, 11), (at, 9), (at, 100), (at, 21):
    print(libc.madvise(ctypes.c_void_p(address), 4096, advice), ctypes.get_errno())
"""
    with Template(Policy()) as template:
        execution = template.run(code)
        assert execution.stdout == "[None, None, None, None]\nTrue\n-1 12\n-1 22\n-1 12\n" + "-1 22\n" * 5, execution
        assert execution.violations == []
