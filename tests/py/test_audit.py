"""Decisions are told as they are made; and audit_only, which confines nothing, tells what would be refused and says what it is."""

import asyncio
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import warnings

import pytest

import belljar
import looking

pytestmark = pytest.mark.core
BELLJAR = str(pathlib.Path(os.environ.get("BELLJAR_BUILD", pathlib.Path(__file__).parents[2] / "build")) / "belljar")


@pytest.fixture
def folder():
    with tempfile.TemporaryDirectory(prefix="belljar-test-") as path:
        os.chmod(path, 0o755)
        yield pathlib.Path(path)


# ---- audit: confined as ever ----


def test_decisions_are_told_to_a_function_or_a_file(folder):
    code = "open('/etc/passwd').read()\nopen('out', 'w').close()\nopen('/etc/shadow')"
    told = []
    ex = belljar.run(code, belljar.Policy(audit=told.append))
    assert ex.verdict == "violation" and all(isinstance(one, belljar.Decision) for one in told)
    found = {(one.op, one.target): (one.outcome, one.rule) for one in told}
    assert found["openat", "/etc/shadow"] == ("EACCES", "read") and found["openat", "/etc/passwd"] == ("ok", None)
    assert found["openat", "/work/out"][0] == "ok"
    with belljar.Template(belljar.Policy(audit=folder / "log")) as template:
        assert template.run(code).verdict == template.run(code).verdict == "violation"
    lines = [json.loads(line) for line in (folder / "log").read_text().splitlines()]
    assert len({line["guest"] for line in lines if line["rule"] == "read"}) == 2
    assert set(lines[0]) == {"time", "guest", "op", "target", "outcome", "rule"}


def test_two_audits_are_two_policies_and_none_that_cannot_be():
    first, second = [], []
    for told in (first, second, first):
        belljar.run("open('/etc/shadow')", belljar.Policy(audit=told.append))
    assert len([one for one in first if one.rule == "read"]) == 2 and len([one for one in second if one.rule == "read"]) == 1
    assert belljar.Policy(audit=print) != belljar.Policy() == belljar.Policy(audit=None)
    with pytest.raises(TypeError, match="audit: a function, or the path of a file"):
        belljar.Policy(audit=7)
    with pytest.raises(belljar.PolicyError, match="audit: /nowhere/log: No such file"):
        belljar.run("1", belljar.Policy(audit="/nowhere/log"))


# ---- audit_only: not confined ----

# What a program does -> operation, part of the target, rule; with the options that permit it, if any do.
WOULD_BE_REFUSED = [
    ("open('FOLDER/data').read()", "openat", "FOLDER/data", "read", {"read": "FOLDER"}),
    ("open('FOLDER/new', 'w').close()", "openat", "FOLDER/new", "write", {"write": "FOLDER"}),
    ("import os; os.mkdir('FOLDER/made')", "mkdir", "FOLDER/made", "write", {"write": "FOLDER"}),
    ("import os; os.rename('FOLDER/data', 'FOLDER/other')", "rename", "FOLDER/other", "write", {"write": "FOLDER"}),
    ("import os; os.listdir('FOLDER')", "openat", "FOLDER", "read", {"read": "FOLDER"}),
    ("import pathlib; pathlib.Path('FOLDER/../' + 'FOLDER'.split('/')[-1] + '/data').read_text()", "openat", "FOLDER/data", "read",
     {"read": "FOLDER"}),
    ("import socket; socket.socket().close()", "socket", "AF_INET", "network", None),
    ("import subprocess; subprocess.run(['true'])", "execve", "true", "processes", None),
    ("import os; os.waitpid(os.spawnv(os.P_NOWAIT, '/bin/true', ['true']), 0)", "", "", "processes", None),
    ("import os; os.kill(os.getppid(), 0)", "kill", "process", "processes", None),
]  # fmt: skip


@pytest.mark.parametrize(("code", "op", "target", "rule", "permits"), WOULD_BE_REFUSED)
def test_what_would_be_refused_happens_and_is_told(folder, code, op, target, rule, permits):
    (folder / "data").write_text("words")
    if os.geteuid() == 0 and not looking.is_powerless_root():
        os.chown(folder, 65534, 65534)
    code, target = code.replace("FOLDER", str(folder)), target.replace("FOLDER", str(folder))
    with pytest.warns(belljar.AuditOnlyWarning, match="NOT CONFINED"):
        ex = belljar.run(code, belljar.Policy(audit_only=True))
    assert ex.ok, ex.error
    assert any(
        one.op.startswith(op) and target in one.target and one.rule == rule and one.hint for one in ex.violations
    ), ex.violations
    (folder / "data").write_text("words")
    if permits is not None:
        granted = belljar.Policy(audit_only=True, **{key: str(folder) for key in permits})
        (folder / "made").exists() and (folder / "made").rmdir()
        with pytest.warns(belljar.AuditOnlyWarning):
            assert belljar.run(code, granted).violations == []


def test_what_is_permitted_is_not_told_and_the_program_finds_what_a_guest_finds():
    code = """
import json, os, sys, tempfile
open('/etc/passwd').read(); open('/dev/null', 'w').write('x'); tempfile.NamedTemporaryFile().write(b'x')
open('out', 'w').write(open('given').read() + sys.stdin.read() + os.environ['A'])
print(sys.argv[1:], 'HIDDEN' in os.environ)
try: open('/etc/does-not-exist-at-all')
except FileNotFoundError: pass
6 * 7
"""
    os.environ["HIDDEN"] = "1"
    with pytest.warns(belljar.AuditOnlyWarning):
        ex = belljar.run(code, belljar.Policy(audit_only=True), files={"given": "a"}, stdin="b", env={"A": "c"}, argv=["p", "x"])
    assert (ex.verdict, ex.text, ex.stdout, ex.violations) == ("ok", "42", "['x'] False\n", []), ex.error
    assert dict(ex.files) == {"out": b"abc"}
    with pytest.warns(belljar.AuditOnlyWarning):
        ex = belljar.run("def f(): 1/0\nf()", belljar.Policy(audit_only=True))
        assert ex.verdict == "error" and ex.error.name == "ZeroDivisionError" and "in f" in ex.error.traceback
        assert belljar.run("import sys; sys.exit(3)", belljar.Policy(audit_only=True)).exit == 3
        assert belljar.run("while 1: pass", belljar.Policy(audit_only=True, timeout=0.5)).verdict == "timeout"


def test_nothing_else_takes_a_policy_that_confines_nothing(folder):
    policy = belljar.Policy(audit_only=True)
    for make in (lambda: belljar.Template(policy), lambda: belljar.Sandbox(policy), lambda: belljar.SandboxExecutor(policy=policy).submit(int),
                 lambda: asyncio.run(belljar.arun("1", policy)), lambda: belljar.Sandbox(belljar.SandboxConfig("math"), audit_only=True),
                 lambda: belljar.packages(belljar.Policy(audit_only=True)).clear() or belljar.Template(policy)):  # fmt: skip
        with warnings.catch_warnings():
            warnings.simplefilter("error", belljar.AuditOnlyWarning)
            with pytest.raises((belljar.PolicyError, TypeError)):
                make()
    with pytest.warns(belljar.AuditOnlyWarning), pytest.raises(belljar.PolicyError, match="open policy"):
        belljar.run("1", belljar.SandboxConfig("math"), audit_only=True)
    (folder / "policy.json").write_text('{"audit_only": true}')
    with pytest.raises(belljar.PolicyError, match="audit_only is not for policy files"):
        belljar.Policy.from_file(folder / "policy.json")
    assert "audit_only" not in policy.to_json() and "audit_only=True" in repr(policy) and policy != belljar.Policy()
    assert belljar.Policy(audit_only=False) == belljar.Policy() and belljar.run("open('/etc/shadow')", belljar.Policy()).violations


def test_the_command_says_what_it_does_and_goes_on(folder):
    (folder / "script.py").write_text(
        "import neighbour, sys\nopen('/etc/shells').close()\nprint(neighbour.value, __file__)\nsys.exit(4)\n"
    )
    (folder / "neighbour.py").write_text("value = 5")

    def run(*arguments, command="run", status=0):
        done = subprocess.run([BELLJAR, command, "--audit-only", *map(str, arguments)], capture_output=True, text=True, timeout=60,
                              env={**os.environ, "BELLJAR_PYTHON": sys.executable})  # fmt: skip
        assert done.returncode == status, done.stderr
        return done.stdout, done.stderr

    printed, said = run(folder / "script.py", status=4)
    assert printed == f"5 {folder}/script.py\n" and said.startswith("belljar: warning: audit_only: this program is NOT CONFINED")
    if os.path.exists("/etc/shells"):
        assert (
            "would be refused: openat /etc/shells (rule read): --read /etc/shells" in said
            and "1 operation would be refused" in said
        )
        assert "nothing that was seen" in run("--read", "/etc/shells", folder / "script.py", status=4)[1]
    assert "leave out --file" in run("--json", "-c", "1", status=2)[1]
    assert "NOT CONFINED" in run(command="explain")[1]
    (folder / "policy.json").write_text('{"audit_only": true}')
    assert "audit_only is not an option" in run("--policy", folder / "policy.json", "-c", "1", status=2)[1]
