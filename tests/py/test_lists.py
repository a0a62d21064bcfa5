"""Lists that several files read: each stands once, and its readers agree."""

import json
import re
import subprocess

import pytest

from belljar import Policy, PolicyError, Template, run
from belljar._core import core


def command(*arguments):
    return subprocess.run(["belljar", *arguments], check=True, stdout=subprocess.PIPE, text=True).stdout


def help_of(option):
    """The sentence of --help, in one line."""
    text = command("run", "--help").split(f"\n  {option} ")[1]
    return " ".join(re.split(r"\n  -", text)[0].split())


def test_the_scratch_places_are_the_same_for_the_package_the_tables_and_the_help():
    rows = json.loads(command("explain", "--files", "--json"))["mounts"]
    places = [row["path"] for row in rows if row["mode"] == "scratch"]
    assert places and list(core.SCRATCH_PLACES) == places
    assert re.findall(r"/\S+[a-z]", help_of("--scratch").split("Default")[0]) == places


@pytest.mark.core
def test_every_scratch_place_takes_files_of_the_guest_and_of_the_caller():
    names = [f"{place}/x" for place in core.SCRATCH_PLACES]
    execution = run(f"for n in {names!r}: open(n, 'a').write('y')", files=dict.fromkeys(names, b"x"))
    assert execution.verdict == "ok"
    assert [execution.files[name] for name in names] == [b"xy"] * len(names)


@pytest.mark.core
@pytest.mark.parametrize("place", ["/", "/home", "/var", "/dev", "/var/log"])
def test_what_lies_above_or_beside_them_does_not(place):
    execution = run(f"import os; os.mkdir('{place.rstrip('/')}/x')")
    assert execution.verdict == "violation" and execution.error.name == "PermissionError"
    assert "(rule: write; remedy: " in execution.error.value and execution.violations


def test_the_layers_that_may_be_missing_are_those_of_the_help_and_of_the_error():
    named = re.search(r"\(([a-z, ]+)\)", help_of("--allow-missing"))[1].split(", ")
    assert named == ["landlock", "namespaces", "cgroup"]
    for layer in named:
        told = json.loads(command("explain", "--files", "--json", "--allow-missing", layer))
        assert told["options"]["allow_missing"] == [layer]
    for layer in ("seccomp", "Landlock", ""):
        with pytest.raises(PolicyError, match=f"known: {', '.join(named)} "):
            Policy(allow_missing=[layer])


@pytest.mark.core
def test_every_layer_in_force_is_one_of_the_list():
    with Template() as template:
        assert set(template.layers) <= {"seccomp", "landlock", "namespaces", "cgroup"}


@pytest.mark.core
@pytest.mark.parametrize("raised, verdict", [
    ("open('/etc/shadow')", "violation"), ("os.mkdir('/etc/x')", "violation"), ("os.fork()", "violation"),
    ("raise OSError(errno.EACCES, 'x')", "error"), ("open('/nowhere/x')", "error"), ("os.stat('/root/x')", "error"),
])  # fmt: skip
def test_what_the_policy_refused_is_a_violation_and_no_other_error_is(raised, verdict):
    assert run("import errno, os\n" + raised).verdict == verdict
