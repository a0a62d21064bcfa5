"""The package `belljar` as its users see it."""

import asyncio
import gc
import inspect
import io
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import threading
import time
import typing
import warnings

import pytest

import belljar
from belljar import Execution, Policy, PolicyError, Sandbox, SandboxError, SessionEnded, StartError, Template
from belljar import _interpreter as interpreter
from belljar import _policy as policy

core = pytest.mark.core
PYTHON = "/usr/bin/python3"


@pytest.fixture(scope="module")
def template():
    with Template(Policy(timeout=20), python=PYTHON) as template:
        yield template


# ---- Arguments ---------------------------------------------------------------------------------------------------

NAMED = [  # (what somebody writes, what the sentence has to say)
    (lambda given: belljar.run("1", timeout="3"), r"timeout: a number of seconds \(0 for no limit\) is expected, not str '3'"),
    (lambda given: belljar.run("1", timeout=True), "timeout: a number of seconds .* not bool True"),
    (lambda given: given.run_code("1", timeout=[1]), "timeout: a number of seconds .* not list"),
    (lambda given: given.run_code("1", filename=1), "filename: text, for tracebacks, is expected, not int 1"),
    (lambda given: given.run_code("1", on_stdout="print"), "on_stdout: a function is expected, not str 'print'"),
    (lambda given: given.run_code("1", on_result=1), "on_result: a function is expected, not int 1"),
    (lambda given: given.run_code(1), "code: text, or bytes as a file has them, is expected, not int 1"),
    (lambda given: given.run_code(None), "code: text, or bytes as a file has them, is expected, not NoneType"),
    (lambda given: belljar.run(len), r"functions are for Sandbox\(...\).call\(function\)"),
    (lambda given: given.execute("1", []), "globals: a dict, .* is expected, not list"),
    (lambda given: given.call("1"), r"call: a function is expected, not str '1'; text is for execute\(code\)"),
    (lambda given: given.expose(3), "expose: a function is expected, not int 3"),
    (lambda given: given.expose(len, max_calls="3"), "max_calls: a number of calls is expected, not str '3'"),
    (lambda given: given.expose(len, timeout="3"), "timeout: a number of seconds is expected, not str '3'"),
    (lambda given: given.fork("2"), "fork: a number of branches is expected, not str '2'"),
    (lambda given: belljar.run("1", argv="a b"), "argv: a list of texts is expected, not str 'a b'"),
    (lambda given: belljar.run("1", files=["a"]), "files: a mapping of names to contents is expected, not list"),
    (lambda given: belljar.run("1", stdin=1.5), "stdin: text, bytes, an open file, lines or a function is expected, not float 1.5"),
    (lambda given: belljar.run("1", preload=3), "preload: the name of a module, or a list of them, is expected, not int 3"),
    (lambda given: belljar.run("1", python=3), "python: the path of an interpreter or of an environment is expected, not int 3"),
    (lambda given: belljar.run("1", template=Policy()), "template: a belljar.Template is expected, not Policy"),
    (lambda given: Template(parked="3"), "parked: a number of guests is expected, not str '3'"),
    (lambda given: belljar.SandboxExecutor(max_workers="3"), "max_workers: a number of guests is expected, not str '3'"),
    (lambda given: belljar.run("1", timout=3), r"belljar.run has no argument timout=: did you mean timeout=\?"),
    (lambda given: given.run_code("1", memory="1G"), r"run_code has no argument memory=: write it as belljar.Policy\(memory=...\)"),
]


@pytest.mark.parametrize(("write", "words"), NAMED, ids=[words[:40] for _, words in NAMED])
def test_a_wrong_type_is_named(template, write, words):
    with template.sandbox() as given:
        with pytest.raises(TypeError, match=words):
            write(given)
        assert given.run_code("1 + 1").value == 2  # nothing was begun


def test_their_twins_are_taken(template):
    with template.sandbox(stdin="x") as given:
        assert given.run_code("1 + 1", timeout=3, filename="a.py", on_stdout=print, on_result=repr).value == 2
        assert given.run_code(b"# coding: latin-1\n'\xe4'", timeout=float("inf")).value == "\u00e4"
    assert template.run("import sys; sys.argv", argv=("a", "b"), timeout=0).value == ["a", "b"]
    assert Policy(timeout=float("inf")) == Policy(timeout=None) == Policy(timeout=0)


def test_zero_parked_guests_have_always_been_one():
    with pytest.warns(DeprecationWarning, match="write parked=1"), Template(python=PYTHON, parked=0) as old:
        assert old.run("1 + 1").value == 2


# ---- Policy ------------------------------------------------------------------------------------------------------


def test_the_keywords_are_the_options_of_the_table():
    assert set(typing.get_type_hints(policy.AllOptions)) - {"envs", "audit", "audit_only"} == set(Policy().options)


def test_policies_are_equal_if_they_come_to_the_same():
    assert Policy(memory="512M", timeout=30) == Policy(timeout=30.0) == Policy()
    assert hash(Policy(memory="512M")) == hash(Policy())
    assert Policy(timeout=5) != Policy()
    assert Policy() != "Policy()"


def test_repr_shows_what_was_given():
    assert repr(Policy(timeout=5, read=["/tmp"], preload={"json"})) == "Policy(timeout=5, read=['/tmp'], preload=['json'])"


def test_paths_and_single_values_are_fine(tmp_path):
    assert Policy(read=tmp_path).options["read"] == [str(tmp_path)]
    assert Policy(read=(tmp_path, "/tmp")).options["read"] == [str(tmp_path), "/tmp"]
    assert Policy(preload="json").options["preload"] == ["json"]


def test_an_effective_policy_can_be_read_back(tmp_path):
    given = Policy(timeout=2.5, memory="100M", read=[tmp_path], allow_missing=["landlock"], jit=True, profile="compute")
    (tmp_path / "policy.json").write_text(given.to_json())
    assert Policy.from_file(tmp_path / "policy.json") == given


def test_replace_sets_lists_anew(tmp_path):
    assert Policy(read=["/tmp"], timeout=3).replace(read=[tmp_path]) == Policy(read=[tmp_path], timeout=3)


BAD_OPTIONS = [
    ({"timout": 5}, PolicyError, "did you mean timeout"),
    ({"timeout": "soon"}, PolicyError, "timeout: a number of seconds"),
    ({"timeout": float("nan")}, (PolicyError, TypeError), "timeout"),
    ({"timeout": object()}, (PolicyError, TypeError), "timeout"),
    ({"tim": object()}, PolicyError, "not an option"),
    ({"memory": "lots"}, PolicyError, "512M"),
    ({"read": "/nowhere"}, PolicyError, "/nowhere: No such file"),
    ({"read": b"/tmp"}, TypeError, "str"),
    ({"profile": "all"}, PolicyError, "compute"),
    ({"threads": -1}, PolicyError, "whole number"),
    ({"allow_missing": ["seccomp"]}, PolicyError, "landlock"),
    ({"jit": 1}, PolicyError, "true or false"),
]


@pytest.mark.parametrize(
    ("options", "kind", "words"), BAD_OPTIONS, ids=[f"{n} {next(iter(row[0]))}" for n, row in enumerate(BAD_OPTIONS)]
)
def test_a_bad_option_is_a_clear_error(options, kind, words):
    with pytest.raises(kind, match=words):
        Policy(**options)


def test_policy_errors_are_value_errors_and_sandbox_errors():
    assert issubclass(PolicyError, ValueError)
    assert all(issubclass(kind, SandboxError) for kind in (PolicyError, SessionEnded, StartError))


@pytest.mark.parametrize(
    ("text", "words"), [("{a: 1}", "not JSON"), ("[]", "an object"), ('{"timout": 1}', "did you mean timeout")]
)
def test_a_bad_policy_file_is_a_clear_error(tmp_path, text, words):
    path = tmp_path / "policy.json"
    path.write_text(text)
    with pytest.raises(PolicyError, match=words) as caught:
        Policy.from_file(path)
    assert str(path) in str(caught.value)
    with pytest.raises(PolicyError, match="No such file"):
        Policy.from_file(tmp_path / "missing.json")


# ---- run -----------------------------------------------------------------------------------------------------------


@core
def test_run_returns_what_it_printed():
    execution = belljar.run("import sys; print('out'); print('err', file=sys.stderr)", python=PYTHON)
    assert (execution.stdout, execution.stderr, execution.verdict, execution.exit) == ("out\n", "err\n", "ok", 0)
    assert execution.error is None
    assert execution.violations == []
    assert execution.truncated is False
    assert execution.logs.stdout == ["out\n"]


@core
def test_the_last_expression_is_the_text(template):
    execution = template.run("x = 20\nx * 2 + 2")
    assert execution.text == "42"
    assert [result.text for result in execution.results] == ["42"]
    assert execution.results[0].is_main_result
    assert template.run("x = 1").text is None
    assert template.run("None").results == []


def test_two_runs_share_nothing(template):
    template.run("import builtins, os; builtins.leak = 1; open('/tmp/leak', 'w').write('x')")
    execution = template.run("import builtins, os; hasattr(builtins, 'leak'), os.path.exists('/tmp/leak')")
    assert execution.text == "(False, False)"


def test_an_exception_is_data(template):
    execution = template.run("def f():\n    return {}['gone']\nf()", filename="job.py")
    assert execution.verdict == "error"
    assert (execution.error.name, execution.error.value) == ("KeyError", "'gone'")
    assert 'File "job.py", line 2, in f' in execution.error.traceback
    assert "return {}['gone']" in execution.error.traceback
    assert execution.error.traceback.endswith("KeyError: 'gone'\n")
    assert "belljar" not in execution.error.traceback


def test_a_syntax_error_is_data(template):
    execution = template.run("x = (1,\ny = ")
    assert execution.verdict == "error"
    assert execution.error.name == "SyntaxError"
    assert "line" in execution.error.traceback


def test_code_that_is_no_text_is_the_guests_error(template):
    assert template.run("x = '\ud800'").verdict == "error"
    assert template.run(b"x = '\xff'").verdict == "error"
    assert template.run("x = 1\0").verdict == "error"


VERDICTS = [
    ("pass", {}, "ok", 0),
    ("import sys; sys.exit(3)", {}, "error", 3),
    ("while 1: pass", {"timeout": 0.4}, "timeout", 124),
    ("import time; time.sleep(9)", {"timeout": 0.4}, "timeout", 124),
    ("10**10**8", {"timeout": 0.4}, "timeout", 124),
    ("x = bytearray(10**11)", {}, "memory", 137),
    ("open('/etc/shadow')", {}, "violation", 126),
    ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", {}, "crashed", 139),
    ("import ctypes; ctypes.string_at(0)", {}, "crashed", 139),
]


@core
@pytest.mark.parametrize(("code", "options", "verdict", "status"), VERDICTS, ids=[row[0][:30] for row in VERDICTS])
def test_verdicts(template, code, options, verdict, status):
    execution = template.run(code, **options)
    assert (execution.verdict, execution.exit) == (verdict, status)
    assert template.run("1 + 1").text == "2"  # and the next one is served


def test_output_without_end_is_ended(template):
    with Template(Policy(output=1000, timeout=30), python=PYTHON) as small:
        execution = small.run("while 1: print('x' * 10000)")
    assert (execution.verdict, execution.truncated, execution.exit) == ("output", True, 126)
    assert len(execution.stdout) < 1200


def test_a_timeout_says_which_line_was_running(template):
    execution = template.run("def spin():\n    while True:\n        pass\nspin()\n", filename="job.py", timeout=0.4)
    assert execution.error.name == "TimeoutError"
    assert 'File "job.py", line ' in execution.error.traceback
    assert "in spin" in execution.error.traceback


def test_a_run_that_failed_still_has_its_output(template):
    execution = template.run("print('before', flush=True)\nwhile 1: pass", timeout=0.4)
    assert (execution.stdout, execution.verdict) == ("before\n", "timeout")


def test_timeout_replaces_the_policys(template):
    with Template(Policy(timeout=0.3), python=PYTHON) as strict:
        assert strict.run("import time; time.sleep(0.6)").verdict == "timeout"
        assert strict.run("import time; time.sleep(0.6)", timeout=5).verdict == "ok"
        assert strict.run("import time; time.sleep(0.6)", timeout=0).verdict == "ok"
    for wrong in (-1, float("nan")):
        with pytest.raises(ValueError, match="timeout"):
            template.run("1", timeout=wrong)


def test_usage_is_counted(template):
    execution = template.run("sum(range(10**6))\nopen('x', 'w').close()")
    usage = execution.usage
    assert usage.wall_ms > 1
    assert usage.cpu_ms > 1
    assert usage.peak_bytes > 1_000_000
    assert usage.served >= 1
    assert template.run("1").usage.served < usage.served


def test_refusals_are_on_record(template):
    execution = template.run("try: open('/etc/shadow')\nexcept PermissionError as error: print(error)")
    assert execution.verdict == "ok"
    (violation,) = execution.violations
    assert (violation.target, violation.rule) == ("/etc/shadow", "read")
    assert "--read" in violation.hint or "read=" in violation.hint
    assert execution.refused == 1
    assert "/etc/shadow" in execution.stdout
    assert "rule" in execution.stdout


@pytest.fixture
def open_folder():
    """A folder that the user can reach who runs the sandbox when root starts it: pytest's own are private."""
    with tempfile.TemporaryDirectory(prefix="belljar-test-") as folder:
        os.chmod(folder, 0o755)
        yield pathlib.Path(folder)


@core
def test_a_granted_file_can_be_read(open_folder):
    path = open_folder / "data.txt"
    path.write_text("granted")
    with Template(Policy(read=[path]), python=PYTHON) as template:
        assert template.run(f"open({str(path)!r}).read()").text == "'granted'"
        assert template.run(f"open({str(path)!r}, 'w')").verdict == "violation"


def test_arguments_and_filename(template):
    execution = template.run("import sys; print(sys.argv)", argv=["job.py", "a", "é"], filename="job.py")
    assert execution.stdout == "['job.py', 'a', 'é']\n"


def test_repr_is_short(template):
    execution = template.run("'x' * 10_000")
    assert "'ok'" in repr(execution)
    assert len(repr(execution)) < 500


# ---- Streams ---------------------------------------------------------------------------------------------------------

READ = "import sys; print(repr(sys.stdin.read()))"


@core
@pytest.mark.parametrize(("stdin", "seen"), [(None, ""), ("text é\n", "text é\n"), (b"bytes\n", "bytes\n"), ("", "")])
def test_stdin_is_text_or_bytes(template, stdin, seen):
    assert template.run(READ, stdin=stdin).stdout == f"{seen!r}\n"


def test_stdin_may_be_large(template):
    execution = template.run("import sys; print(len(sys.stdin.read()))", stdin=b"x" * 3_000_000)
    assert execution.stdout == "3000000\n"


def test_stdin_may_be_left_unread(template):
    assert template.run("1", stdin=b"x" * 3_000_000).verdict == "ok"


def test_stdin_may_be_a_file_or_a_pipe(template, tmp_path):
    path = tmp_path / "in.txt"
    path.write_text("from a file")
    with open(path) as file:
        assert template.run(READ, stdin=file).stdout == "'from a file'\n"
    reader, writer = os.pipe()
    os.write(writer, b"from a pipe")
    os.close(writer)
    try:
        assert template.run(READ, stdin=reader).stdout == "'from a pipe'\n"
    finally:
        os.close(reader)


def test_stdin_may_be_a_callback(template):
    lines = iter(["first\n", b"second\n", "x" * 200_000, None])
    execution = template.run("import sys; print(input(), input(), len(sys.stdin.read()))", stdin=lambda: next(lines))
    assert execution.stdout == "first second 200000\n"


def test_a_wrong_stdin_is_a_clear_error(template):
    with pytest.raises(TypeError, match="stdin"):
        template.run("1", stdin=3.5)
    with pytest.raises(TypeError, match="stdin callback"):
        template.run("input()", stdin=lambda: 42)
    assert template.run("input()", stdin=io.StringIO("a file that has no descriptor")).value == "a file that has no descriptor"


def test_output_is_streamed_in_whole_characters(template):
    out, err = [], []
    code = "import os, sys, time\nfor byte in 'aé€😀'.encode():\n  os.write(1, bytes([byte])); time.sleep(0.005)\nos.write(2, b'\\xff!')"
    execution = template.run(code, on_stdout=out.append, on_stderr=err.append)
    assert "".join(out) == execution.stdout == "aé€😀"
    assert "".join(err) == execution.stderr == "\ufffd!"
    assert len(out) > 1


def test_output_is_streamed_while_it_runs(template):
    times = []
    template.run(
        "import time\nprint(1, flush=True)\ntime.sleep(0.5)\nprint(2)", on_stdout=lambda text: times.append(time.monotonic())
    )
    assert times[-1] - times[0] > 0.3


def test_one_stream_alone_may_be_listened_to(template):
    out = []
    template.run("import sys; print('e', file=sys.stderr); print('o')", on_stdout=out.append)
    assert "".join(out) == "o\n"


def test_on_result_gets_the_results(template):
    results = []
    template.run("6 * 7", on_result=results.append)
    assert [result.text for result in results] == ["42"]


def test_an_exception_in_a_callback_ends_the_run_and_comes_out(template):
    def fail(text):
        raise LookupError(text)

    start = time.monotonic()
    with pytest.raises(LookupError, match="tick"):
        template.run("import time\nwhile 1: print('tick', flush=True); time.sleep(0.01)", on_stdout=fail)
    assert time.monotonic() - start < 10
    with pytest.raises(ZeroDivisionError):
        template.run("input()", stdin=lambda: 1 / 0)
    assert template.run("1").text == "1"


def test_output_over_the_limit_is_cut_with_the_true_count():
    with Template(Policy(output=1000), python=PYTHON) as template:
        streamed = []
        execution = template.run("print('a' * 3000 + 'b' * 3000, end='')", on_stdout=streamed.append)
        assert execution.truncated
        assert "6000 bytes" in execution.stdout
        assert execution.stdout.startswith("a" * 500)
        assert execution.stdout.endswith("b" * 500)
        assert "6000 bytes" in "".join(streamed)
        assert not template.run("print('a' * 999)").truncated


# ---- Files -----------------------------------------------------------------------------------------------------------


@core
def test_files_go_in_and_come_out(template, tmp_path):
    path = tmp_path / "host.bin"
    path.write_bytes(b"\0\1")
    code = "open('out.txt', 'w').write(open('a/b.txt').read() + open('/tmp/c').read() + repr(open('d', 'rb').read()))"
    execution = template.run(code, files={"a/b.txt": "text ", "/tmp/c": b"bytes ", "d": path})
    assert execution.files["out.txt"] == b"text bytes b'\\x00\\x01'"
    assert execution.files["/work/out.txt"] == execution.files["out.txt"]
    assert list(execution.files) == ["out.txt"]  # what was handed in and left as it was is no result
    assert "a/b.txt" not in execution.files and "/tmp/c" not in execution.files
    assert list(execution.files.glob("*.txt")) == ["out.txt"]
    with execution.files.open("out.txt") as file:
        assert file.read(4) == b"text"


def test_a_missing_file_is_a_key_error(template):
    execution = template.run("open('there', 'w').close(); import os; os.mkdir('folder')")
    assert "there" in execution.files
    for name in ("missing", "folder", "/etc/passwd", "../../etc/passwd", "", "/", "there/x", "a\0b"):
        assert name not in execution.files
        with pytest.raises(KeyError):
            execution.files[name]


def test_links_never_lead_to_the_host(template):
    code = ("import os\nos.symlink('/etc/passwd', 'file')\nos.symlink('/etc', 'folder')\nos.symlink('../../..', 'up')\n"
            "os.mkdir('d')\nos.symlink('/etc/passwd', 'd/inner')\nopen('plain', 'w').close()\nos.symlink('plain', 'near')")  # fmt: skip
    execution = template.run(code)
    assert execution.verdict == "ok", execution.error
    assert list(execution.files) == ["plain"]
    for name in ("file", "folder/passwd", "up/etc/passwd", "d/inner", "near"):
        with pytest.raises(KeyError):
            execution.files[name]


def test_a_guest_that_wrote_nothing_left_nothing(template):
    execution = template.run("1")
    assert list(execution.files) == []
    assert len(execution.files) == 0


def test_files_of_a_wrong_kind_are_a_clear_error(template):
    with pytest.raises(TypeError, match=r"files\['x'\]"):
        template.run("1", files={"x": 42})
    with pytest.raises(FileNotFoundError):
        template.run("1", files={"x": pathlib.Path("/nowhere/x")})


def test_a_file_that_may_not_be_written_is_said(template):
    with pytest.raises(belljar.StartError, match="/etc/passwd.*write"):
        template.run("1", files={"/etc/passwd": b"root::0:0::/:/bin/sh"})


# ---- Sessions --------------------------------------------------------------------------------------------------------


@core
def test_a_session_keeps_its_names_and_files():
    with Sandbox(Policy(timeout=20), python=PYTHON, files={"n.txt": "20"}, stdin="line\n") as sandbox:
        assert sandbox.run_code("n = int(open('n.txt').read())\ndef double(): return n * 2").verdict == "ok"
        assert sandbox.run_code("double() + 2").text == "42"
        assert sandbox.run_code("1/0").error.name == "ZeroDivisionError"
        assert sandbox.run_code("input()").text == "'line'"
        assert sandbox.run_code("open('out', 'w').write('x' * n)").text == "20"
        assert sandbox.files["out"] == b"x" * 20
        assert sandbox.run_code("n").text == "20"


SERVED = "import os\nfor _ in range({}): os.stat('/etc/hostname')"
RUNS = (
    # What is run; refused, and at least so many calls served.
    ("1", 0, 0),
    (SERVED.format(7), 0, 7),
    ("1", 0, 0),
    ("try: open('/etc/shadow')\nexcept OSError: pass", 1, 1),
    ("1", 0, 0),
    ("import os\nos.path.exists('/nowhere/at/all')", 0, 1),
    ("1 + 1", 0, 0),
)


@pytest.mark.parametrize("late", [False, True], ids=["asked for at once", "asked for after the next run"])
def test_each_run_counts_what_it_asked_for_and_no_other(late):
    with Sandbox() as sandbox:
        sandbox.run_code("import os.path")
        executions = []
        for code, _, _ in RUNS:
            executions.append(sandbox.run_code(code))
            assert executions[-1].verdict == "ok"
            if not late:
                executions[-1].usage  # noqa: B018
        for (code, refused, served), execution in zip(RUNS, executions):
            assert len(execution.violations) == refused, code
            assert served <= execution.usage.served <= served * 3, code


def test_cpu_time_of_a_run_is_its_own():
    """Measured inside by the same clock: what a run says of itself is part of what it is charged."""
    clock = "import time\nbegan = time.process_time()\n{}\ntime.process_time() - began"
    with Sandbox(timeout=60) as sandbox:
        runs = []
        for work in ("pass", "sum(range(400_000))", "pass", "pass", "sum(range(2_000_000))", "time.sleep(0.05)", "pass"):
            execution = sandbox.run_code(clock.format(work))
            runs.append((execution.usage.cpu_ms, execution.value * 1000))
        total = sandbox.run_code("time.process_time()").value * 1000
    assert all(charged >= own for charged, own in runs), runs
    assert sum(charged for charged, _ in runs) <= total  # nothing is charged twice


def test_each_run_of_a_session_has_its_own_counts():
    with Sandbox(python=PYTHON) as sandbox:
        first = sandbox.run_code("try: open('/etc/shadow')\nexcept OSError: pass")
        second = sandbox.run_code("try: open('/etc/gshadow')\nexcept OSError: pass")
        third = sandbox.run_code("1")
        assert [violation.target for violation in first.violations] == ["/etc/shadow"]
        assert [violation.target for violation in second.violations] == ["/etc/gshadow"]
        assert third.violations == []


def test_a_session_that_died_says_so_with_the_cause():
    with Sandbox(python=PYTHON) as sandbox:
        ended = sandbox.run_code("import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)\nwhile 1: pass", timeout=0.3)
        assert ended.verdict == "timeout"
        with pytest.raises(SessionEnded, match="timeout") as caught:
            sandbox.run_code("1")
        assert caught.value.execution is ended
        with pytest.raises(SessionEnded):
            sandbox.run_code("1")


def test_a_closed_session_says_so():
    sandbox = Sandbox(python=PYTHON)
    sandbox.run_code("1")
    sandbox.close()
    sandbox.close()
    with pytest.raises(SessionEnded, match="closed"):
        sandbox.run_code("1")
    with pytest.raises(SessionEnded, match="closed"):
        sandbox.files["x"]


def test_interrupt_stops_the_code_and_keeps_the_session():
    with Sandbox(python=PYTHON) as sandbox:
        sandbox.run_code("x = 41")
        timer = threading.Timer(0.5, sandbox.interrupt)
        timer.start()
        interrupted = sandbox.run_code("while 1: pass", timeout=20)
        timer.join()
        assert (interrupted.verdict, interrupted.error.name) == ("error", "KeyboardInterrupt")
        assert sandbox.run_code("x + 1").text == "42"


def test_kill_ends_it_from_another_thread():
    with Sandbox(python=PYTHON) as sandbox:
        timer = threading.Timer(0.3, sandbox.kill)
        timer.start()
        start = time.monotonic()
        assert sandbox.run_code("while 1: pass", timeout=20).verdict not in ("ok", "timeout")
        assert time.monotonic() - start < 10
        timer.join()
        with pytest.raises(SessionEnded):
            sandbox.run_code("1")


def test_two_threads_at_once_are_told():
    with Sandbox(python=PYTHON) as sandbox:
        thread = threading.Thread(target=sandbox.run_code, args=("import time; time.sleep(1)",))
        thread.start()
        time.sleep(0.3)
        with pytest.raises(SandboxError, match="another thread"):
            sandbox.run_code("1")
        thread.join()
        assert sandbox.run_code("1").text == "1"


def test_a_sandbox_closed_while_it_runs_ends():
    sandbox = Sandbox(python=PYTHON)
    done = []
    thread = threading.Thread(target=lambda: done.append(sandbox.run_code("while 1: pass", timeout=30)))
    thread.start()
    time.sleep(0.3)
    sandbox.close()
    thread.join(10)
    assert not thread.is_alive()
    assert done[0].verdict != "ok"


def test_a_template_and_what_it_has_contradict_each_other(template):
    with pytest.raises(SandboxError, match="template="):
        Sandbox(Policy(), template=template)
    with template.sandbox(files={"x": "1"}) as sandbox:
        assert sandbox.run_code("open('x').read()").text == "'1'"


# ---- Templates ---------------------------------------------------------------------------------------------------------


def test_preloaded_modules_are_there():
    with Template(preload=["json", "decimal"], python=PYTHON) as template:
        assert template.run("import sys; 'decimal' in sys.modules").text == "True"
        assert template.python >= (3, 11, 0)


@core
def test_a_template_says_which_layers_are_in_force(template):
    assert template.layers
    assert all(state.split(":")[0] in ("on", "off", "waived") for state in template.layers.values())


START_ERRORS = [
    ({"preload": ["no_such_module"]}, "no_such_module"),
    ({"python": "/nowhere/python3"}, "/nowhere/python3"),
    ({"python": "/bin/true"}, "/bin/true"),
]


@pytest.mark.parametrize(("options", "words"), START_ERRORS)
def test_a_start_that_fails_names_the_step(options, words):
    with pytest.raises(StartError, match=words) as caught:
        Template(**{"python": PYTHON, **options})
    assert caught.value.step


def test_a_closed_template_says_so_and_executions_stay():
    template = Template(python=PYTHON)
    kept = template.run("print(1); open('x', 'w').close()")
    template.close()
    template.close()
    with pytest.raises(SandboxError, match="closed"):
        template.run("1")
    assert (kept.stdout, kept.verdict) == ("1\n", "ok")
    assert kept.usage.wall_ms > 0
    with pytest.raises(SandboxError, match="gone"):
        list(kept.files)


def test_a_sandbox_keeps_its_closed_template_until_it_is_closed():
    before = children(os.getpid())
    template = Template(python=PYTHON)
    sandbox = template.sandbox()
    (supervisor,) = set(children(os.getpid())) - set(before)
    template.close()
    assert sandbox.run_code("1 + 1").text == "2"
    assert supervisor in children(os.getpid())
    sandbox.close()
    assert supervisor not in children(os.getpid())


def test_a_template_is_thread_safe(template):
    found = []

    def work(start):
        for number in range(start, start + 10):
            found.append(int(template.run(f"{number} * 2").text))

    threads = [threading.Thread(target=work, args=(10 * n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == [2 * n for n in range(80)]


def test_run_starts_a_template_once():
    options = {"python": PYTHON, "preload": ["json"]}
    belljar.run("1", **options)
    start = time.perf_counter()
    for _ in range(5):
        belljar.run("1", **options)
    warm = (time.perf_counter() - start) / 5
    start = time.perf_counter()
    Template(**options).close()
    assert warm < time.perf_counter() - start


def test_run_survives_the_death_of_its_supervisor():
    code = """
import os, pathlib, signal, subprocess, time
belljar.run("1", python=PYTHON)
kept = belljar.Sandbox(python=PYTHON)
for child in subprocess.run(["ps", "-o", "pid=", "--ppid", str(os.getpid())], capture_output=True, text=True).stdout.split():
    path = pathlib.Path(f"/proc/{child}/comm")
    if path.exists() and path.read_text().startswith("belljar"):
        os.kill(int(child), signal.SIGKILL)
time.sleep(0.3)
print(belljar.run("6 * 7", python=PYTHON).text)
try: kept.run_code("1")
except belljar.SandboxError as error: print(type(error).__name__)
"""
    assert host(code).stdout == "42\nSessionEnded\n"


def test_operations_are_reported_to_who_asks():
    seen = []
    with Template(python=PYTHON, on_operation=lambda *operation: seen.append(operation)) as template:
        execution = template.run("open('note.txt', 'w').close()\ntry: open('/etc/shadow')\nexcept OSError: pass")
        assert execution.violations
    assert any("note.txt" in target and outcome == "ok" for _, _, target, outcome, _ in seen)
    assert any(target == "/etc/shadow" and rule == "read" for _, _, target, _, rule in seen)


def children(pid):
    done = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True)
    own = {int(word) for word in done.stdout.split()}
    return [child for child in own if pathlib.Path(f"/proc/{child}/comm").exists()
            and pathlib.Path(f"/proc/{child}/comm").read_text().startswith("belljar")]  # fmt: skip


def test_many_runs_leave_no_descriptor_and_no_process(template):
    template.run("1").usage
    gc.collect()
    before = len(os.listdir("/proc/self/fd"))
    kept = [template.run(f"open('x', 'w').write('{n}')" if n % 20 == 0 else "1") for n in range(100)]
    del kept
    gc.collect()
    template.run("1").usage
    gc.collect()
    assert len(os.listdir("/proc/self/fd")) <= before + 8


def test_executions_that_are_kept_keep_no_guests(template):
    gc.collect()
    before = len(os.listdir("/proc/self/fd"))
    kept = [template.run("1") for n in range(100)]
    assert len(os.listdir("/proc/self/fd")) - before < 100
    assert all(execution.usage.wall_ms > 0 for execution in kept)
    assert all(list(execution.files) == [] for execution in kept)


# ---- The host's signals, forks and end -------------------------------------------------------------------------------


def host(code, *, timeout=60, **options):
    """Runs code in a host program of its own."""
    return subprocess.run([sys.executable, "-c", f"import belljar\nPYTHON = {PYTHON!r}\n{code}"], capture_output=True, text=True,
                          timeout=timeout, **options)  # fmt: skip


def test_ctrl_c_in_the_host_ends_the_run():
    code = """
import os, signal, threading, time
threading.Timer(1, os.kill, (os.getpid(), signal.SIGINT)).start()
start = time.monotonic()
try: belljar.run("while 1: pass", python=PYTHON, timeout=30)
except KeyboardInterrupt: print("interrupted", time.monotonic() - start < 5)
print(belljar.run("1 + 1", python=PYTHON).text)
"""
    assert host(code).stdout == "interrupted True\n2\n"


def test_after_a_fork_handles_are_refused_and_run_works():
    code = """
import os
template = belljar.Template(python=PYTHON)
sandbox = belljar.Sandbox(python=PYTHON)
sandbox.run_code("x = 1")
pid = os.fork()
if pid == 0:
    for use in (lambda: template.run("1"), lambda: sandbox.run_code("x")):
        try: use()
        except belljar.SandboxError as error: print("fork" in str(error), flush=True)
    print(belljar.run("6 * 7", python=PYTHON).text, flush=True)
    os._exit(0)
os.waitpid(pid, 0)
print(template.run("1").text, sandbox.run_code("x").text)
"""
    assert host(code).stdout == "True\nTrue\n42\n1 1\n"


def test_a_forked_child_that_lives_on_does_not_keep_the_host_from_closing():
    code = """
import os, time
template = belljar.Template(python=PYTHON)
pid = os.fork()
if pid == 0:
    time.sleep(30); os._exit(0)
start = time.monotonic()
template.close()
print(time.monotonic() - start < 5)
os.kill(pid, 9)
"""
    assert host(code, timeout=50).stdout == "True\n"


def test_the_end_of_the_host_is_the_end_of_all():
    code = """
import os, sys, threading
belljar.run("1", python=PYTHON)
kept = belljar.Sandbox(python=PYTHON); kept.run_code("1")
print(os.getpid(), flush=True)
sys.exit(5)
"""
    done = host(code)
    assert done.returncode == 5
    assert done.stderr == ""
    time.sleep(0.3)
    assert children(int(done.stdout)) == []


# ---- Event loops -------------------------------------------------------------------------------------------------------


@core
def test_arun_returns_the_same():
    async def main():
        return await asyncio.gather(*(belljar.arun(f"print({n}); {n} * 2", python=PYTHON) for n in range(20)))

    executions = asyncio.run(main())
    assert [(execution.stdout, execution.text) for execution in executions] == [(f"{n}\n", str(2 * n)) for n in range(20)]


@pytest.mark.slow
def test_a_thousand_runs_fit_one_loop():
    async def main():
        code = "import time; time.sleep(0.2); print({})"
        return await asyncio.gather(*(belljar.arun(code.format(n), python=PYTHON, timeout=120) for n in range(1000)))

    before = len(os.listdir("/proc/self/fd"))
    executions = asyncio.run(main())
    assert [int(execution.stdout) for execution in executions] == list(range(1000))
    del executions
    gc.collect()
    assert len(os.listdir("/proc/self/fd")) < before + 50


def test_arun_keeps_the_loop_free():
    async def main():
        await belljar.arun("1", python=PYTHON)
        ticks = 0
        task = asyncio.create_task(belljar.arun("import time; time.sleep(0.5)", python=PYTHON))
        while not task.done():
            await asyncio.sleep(0.01)
            ticks += 1
        return ticks, (await task).verdict

    ticks, verdict = asyncio.run(main())
    assert ticks > 20
    assert verdict == "ok"


def test_cancelling_arun_kills_the_guest():
    async def main():
        await belljar.arun("1", python=PYTHON)
        task = asyncio.create_task(belljar.arun("while 1: pass", python=PYTHON, timeout=60))
        await asyncio.sleep(0.5)
        task.cancel()
        start = time.monotonic()
        with pytest.raises(asyncio.CancelledError):
            await task
        again = await belljar.arun("1 + 1", python=PYTHON)
        return time.monotonic() - start, again.text

    seconds, text = asyncio.run(main())
    assert seconds < 5
    assert text == "2"


def test_arun_has_limits_streams_and_input():
    async def main():
        out = []
        first = await belljar.arun("while 1: pass", python=PYTHON, timeout=0.4)
        second = await belljar.arun("print(input())", python=PYTHON, stdin="hello\n", on_stdout=out.append)
        return first.verdict, second.stdout, "".join(out)

    assert asyncio.run(main()) == ("timeout", "hello\n", "hello\n")


def test_an_exception_in_a_callback_comes_out_of_arun():
    async def main():
        with pytest.raises(ZeroDivisionError):
            await belljar.arun("print(1)\nimport time; time.sleep(20)", python=PYTHON, on_stdout=lambda text: 1 / 0)

    asyncio.run(main())


# ---- The interpreter that is chosen ------------------------------------------------------------------------------------


def test_the_hosts_interpreter_is_the_default():
    interpreter._choose.cache_clear()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        chosen = interpreter.default_interpreter()
    assert chosen == sys.executable or (caught and str(sys.executable) in str(caught[0].message))
    if os.geteuid() != 0:
        assert chosen == sys.executable


def test_an_interpreter_that_root_alone_can_reach_is_replaced_with_a_warning(tmp_path, monkeypatch):
    hidden = tmp_path / "private"
    hidden.mkdir(0o700)
    copy = hidden / "python3"
    copy.symlink_to(PYTHON)
    with pytest.warns(RuntimeWarning, match=str(hidden)):
        assert interpreter._choose(str(copy), PYTHON, True) == PYTHON
    assert interpreter._choose(str(copy), PYTHON, False) == str(copy)
    interpreter._choose.cache_clear()


# ---- The package -------------------------------------------------------------------------------------------------------


def test_every_public_name_is_documented():
    for name in belljar.__all__:
        thing = getattr(belljar, name)
        assert inspect.getdoc(thing), name
        if inspect.isclass(thing):
            for member, value in vars(thing).items():
                if not member.startswith("_") and (inspect.isfunction(value) or isinstance(value, property)):
                    assert inspect.getdoc(value), f"{name}.{member}"


def test_the_package_is_typed():
    assert (pathlib.Path(belljar.__file__).parent / "py.typed").exists()
    assert inspect.signature(belljar.run).parameters.keys() == inspect.signature(belljar.arun).parameters.keys()


def test_run_takes_a_guest_of_the_template_it_is_given(template):
    assert belljar.run("6 * 7", template=template).value == 42
    with pytest.raises(SandboxError, match="template="):
        belljar.run("1", Policy(), template=template)


def test_the_probes_are_there_for_programs():
    from belljar._core import core as extension

    assert all(len(probe) == 5 for probe in extension.probes())
    assert {row[0] for row in extension.options()} == set(json.loads(Policy().to_json()))


def test_an_execution_is_an_execution(template):
    assert isinstance(template.run("1"), Execution)


def test_an_execution_is_one_json_object():
    execution = belljar.run("import sys; print('out'); print('err', file=sys.stderr); open('/etc/shadow')")
    given = json.loads(execution.to_json())
    assert given["verdict"] == "violation" and given["exit"] == 126 and given["text"] is None
    assert given["logs"] == {"stdout": ["out\n"], "stderr": ["err\n"]}
    assert (given["stdout"], given["stderr"]) == ("out\n", "err\n")
    assert given["error"]["name"] == "PermissionError" and given["violations"][0]["rule"] == "read"
    assert given["usage"].keys() == {"wall_ms", "cpu_ms", "peak_bytes", "served"} and given["refused"] == 1
    shown = json.loads(belljar.run("display('a'); 6 * 7").to_json())
    assert [result["text"] for result in shown["results"]] == ["'a'", "42"] and shown["results"][1]["is_main_result"] is True


def test_forms_of_a_result_are_items_too():
    (result,) = belljar.run("class C:\n  def _repr_html_(self): return '<b>x</b>'\n  def __repr__(self): return 'x'\nC()").results
    assert result["text"] == "x" and result["html"] == "<b>x</b>" and result.formats() == ["text", "html"]
    with pytest.raises(KeyError):
        result["png"]


def test_a_language_policy_is_a_policy_for_every_kind_of_run():
    config = belljar.SandboxConfig("math")
    assert belljar.run("import math; math.sqrt(16)", config).value == 4
    assert belljar.run("import os", config).error.name == "ImportError"
    with Template(config) as template:
        assert template.run("open('x')").error is not None and template.run("1 + 1").value == 2


@pytest.mark.parametrize("use", [belljar.run, Template, Sandbox])
def test_what_is_no_policy_is_said_to_be_none(use):
    with pytest.raises(TypeError, match="belljar.Policy or a belljar.SandboxConfig is expected, not dict"):
        use(*(["1"] if use is belljar.run else []), {"timeout": 5})
