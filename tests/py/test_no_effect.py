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
