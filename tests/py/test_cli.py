"""The command `belljar` as a user sees it: streams, exit statuses, JSON, error messages."""

import json
import os
import pathlib
import pty
import signal
import subprocess
import tempfile
import time

import pytest
import belljar as belljar_package
from belljar import run

BUILD = pathlib.Path(os.environ.get("BELLJAR_BUILD", pathlib.Path(__file__).resolve().parents[2] / "build"))
COMMAND = str(BUILD / "belljar")

core = pytest.mark.core


def belljar(*arguments, stdin=b"", check=None, cwd=None, env=None):
    """Runs the command. Its stdout and stderr come back as text."""
    done = subprocess.run([COMMAND, *map(str, arguments)], input=stdin, capture_output=True, timeout=60, cwd=cwd, env=env)
    done.stdout = done.stdout.decode(errors="replace")
    done.stderr = done.stderr.decode(errors="replace")
    if check is not None:
        assert done.returncode == check, done.stderr
    return done


def run_json(*arguments, stdin=b""):
    done = belljar("run", "--json", *arguments, stdin=stdin)
    answer = json.loads(done.stdout)
    assert answer["exit"] == done.returncode
    return answer


@pytest.fixture
def script(tmp_path):
    """Writes a script and answers its path."""

    def write(text, name="job.py"):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


# ---- What runs ------------------------------------------------------------------------------------------------


@core
def test_a_script_runs_with_its_arguments(script):
    path = script("import sys\nprint(sys.argv[1:], __name__, __file__ == sys.argv[0])")
    done = belljar("run", path, "--json", "-x", check=0)
    assert done.stdout == "['--json', '-x'] __main__ True\n"
    assert done.stderr == ""


@core
@pytest.mark.parametrize(
    "arguments", [("-c", "import sys; print(sys.argv)", "a", "-b"), ("-cimport sys; print(sys.argv)", "a", "-b")]
)
def test_code_runs_with_its_arguments(arguments):
    assert belljar("run", *arguments, check=0).stdout == "['-c', 'a', '-b']\n"


def test_a_double_dash_hands_over_what_looks_like_an_option():
    assert belljar("run", "-c", "import sys; print(sys.argv[1:])", "--", "-m", "x", check=0).stdout == "['-m', 'x']\n"


def test_a_script_may_follow_a_double_dash(script):
    path = script("print('ran')", "-odd.py")
    assert belljar("run", "--", path.name, check=0, cwd=path.parent).stdout == "ran\n"


def test_a_module_runs_as_main():
    done = belljar("run", "-m", "json.tool", stdin=b'{"a": 1}', check=0)
    assert json.loads(done.stdout) == {"a": 1}


def test_the_program_can_come_from_stdin():
    done = belljar("run", "-", "arg", stdin=b"import sys\nprint(sys.argv[1:], sys.stdin.read())", check=0)
    assert done.stdout == "['arg'] \n"


def test_a_granted_folder_is_where_its_scripts_import_from():
    # not below pytest's folders: those are closed to the user who runs the sandbox when root starts it
    with tempfile.TemporaryDirectory(prefix="belljar-test-") as folder:
        os.chmod(folder, 0o755)
        pathlib.Path(folder, "neighbour.py").write_text("def hello(): return 'from a neighbour'")
        path = pathlib.Path(folder, "job.py")
        path.write_text("import neighbour; print(neighbour.hello())")
        assert belljar("run", "--read", folder, path, check=0).stdout == "from a neighbour\n"
        refused = belljar("run", "--no-script-dir", path, check=1)
        assert "ModuleNotFoundError: No module named 'neighbour'" in refused.stderr


def test_a_coding_cookie_is_honoured(script):
    path = script("# -*- coding: latin-1 -*-\nprint('\xe9' == chr(0xe9))".encode("latin-1"))
    assert belljar("run", path, check=0).stdout == "True\n"


# ---- Streams ---------------------------------------------------------------------------------------------------


@core
def test_stdin_is_passed_on():
    assert (
        belljar(
            "run", "-c", "print(input()[::-1]); import sys; print(len(sys.stdin.read()))", stdin=b"abc\n" + b"x" * 300_000, check=0
        ).stdout
        == "cba\n300000\n"
    )


def test_output_comes_while_it_runs():
    code = "import time\nprint('first', flush=True)\ntime.sleep(20)"
    process = subprocess.Popen([COMMAND, "run", "-c", code], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    start = time.monotonic()
    assert process.stdout.readline() == b"first\n"
    assert time.monotonic() - start < 10
    process.terminate()
    process.wait(10)
    process.stdout.close()


@core
def test_both_streams_arrive_where_they_belong():
    done = belljar("run", "-c", "import os, sys; print('out'); print('err', file=sys.stderr); os.write(1, b'raw')", check=0)
    assert (done.stdout, done.stderr) == ("out\nraw", "err\n")


def test_output_over_its_limit_is_cut_in_the_middle_and_counted():
    answer = run_json("--output", "1000", "-c", "print('a' * 5000 + 'b' * 5000, end='')")
    assert answer["truncated"] is True
    assert answer["stdout"].startswith("a" * 500)
    assert answer["stdout"].endswith("b" * 500)
    assert "10000 bytes" in answer["stdout"]
    whole = run_json("--output", "1000", "-c", "print('a' * 999)")
    assert whole["truncated"] is False
    assert whole["stdout"] == "a" * 999 + "\n"


def test_a_reader_that_leaves_ends_the_run():
    code = "import time\nwhile True: print('x' * 1000); time.sleep(0.01)"
    process = subprocess.Popen([COMMAND, "run", "-c", code], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE)  # fmt: skip
    process.stdout.read(10)
    process.stdout.close()
    assert process.wait(10) == 128 + signal.SIGPIPE
    process.stderr.close()


def test_a_terminal_is_not_handed_to_the_guest():
    code = "import os\nfor fd in (0, 1, 2):\n  print(os.isatty(fd))\ntry: os.ttyname(0)\nexcept OSError: print('no name')"
    mine, theirs = pty.openpty()
    try:
        process = subprocess.Popen([COMMAND, "run", "-c", code], stdin=theirs, stdout=subprocess.PIPE, stderr=theirs)
        out, _ = process.communicate(timeout=30)
    finally:
        os.close(mine)
        os.close(theirs)
    assert out == b"False\nFalse\nFalse\nno name\n"


def test_belljar_runs_without_standard_input():
    done = subprocess.run(f"exec {COMMAND} run -c 'import sys; print(repr(sys.stdin.read()))' <&-", shell=True, capture_output=True,
                          timeout=30)  # fmt: skip
    assert done.stdout == b"''\n"


# ---- How it ends ------------------------------------------------------------------------------------------------

ENDINGS = [
    # name, options, code, exit status, verdict
    ("fine", [], "pass", 0, "ok"),
    ("sys.exit()", [], "import sys; sys.exit()", 0, "ok"),
    ("sys.exit(3)", [], "import sys; sys.exit(3)", 3, "error"),
    ("os._exit(4)", [], "import os; os._exit(4)", 4, "error"),
    ("exception", [], "1/0", 1, "error"),
    ("syntax error", [], "1 +", 1, "error"),
    ("time", ["--timeout", "0.5"], "while 1: pass", 124, "timeout"),
    ("CPU time", ["--cpu", "0.5"], "while 1: pass", 124, "cpu"),
    ("memory error", ["--memory", "128M"], "x = bytearray(10**11)", 137, "memory"),
    ("refusal", [], "open('/etc/shadow')", 126, "violation"),
    ("refusal handled", [], "try: open('/etc/shadow')\nexcept OSError: pass", 0, "ok"),
    ("segfault", [], "import ctypes; ctypes.string_at(0)", 128 + signal.SIGSEGV, "crashed"),
]


@core
@pytest.mark.parametrize(("name", "options", "code", "status", "verdict"), ENDINGS, ids=[row[0] for row in ENDINGS])
def test_exit_status_and_verdict(name, options, code, status, verdict):
    answer = run_json(*options, "-c", code)
    assert (answer["verdict"], answer["exit"]) == (verdict, status)
    assert belljar("run", *options, "-c", code).returncode == status


def test_the_traceback_is_as_python_prints_it(script):
    path = script("def f():\n    return 1 / 0\n\nf()\n")
    ours = belljar("run", path, check=1).stderr
    theirs = subprocess.run(["/usr/bin/python3", str(path)], capture_output=True, text=True).stderr
    assert ours == theirs


def test_a_syntax_error_shows_its_place(script):
    done = belljar("run", script("x = (1,\ny = 2\n"), check=1)
    assert 'job.py", line' in done.stderr
    assert "SyntaxError" in done.stderr


def test_sys_exit_prints_its_message():
    done = belljar("run", "-c", "import sys; print('before'); sys.exit('no luck')", check=1)
    assert (done.stdout, done.stderr) == ("before\n", "no luck\n")


def test_the_time_limit_names_the_line_that_was_running(script):
    path = script("def spin():\n    while True:\n        pass\n\nspin()\n")
    done = belljar("run", "--timeout", "0.5", path, check=124)
    first = done.stderr.splitlines()[0]
    assert first.startswith("belljar: time limit of 0.5 s reached; it was running: File")
    assert "job.py" in first
    assert "spin" in first


def test_a_refusal_names_operation_object_rule_and_remedy():
    done = belljar("run", "-c", "open('/etc/shadow')", check=126)
    assert "PermissionError" in done.stderr
    last = done.stderr.splitlines()[-1]
    assert last.startswith("belljar: refused ")
    assert "/etc/shadow" in last
    assert "(rule read)" in last
    assert "--read" in last


REFUSED_OFTEN = "for n in range(9):\n  try: open(f'/root/secret{n}', 'rb')\n  except OSError: pass\n"


def test_only_the_refusal_that_ended_the_program_is_shown_and_the_rest_to_who_asks():
    def shown(*arguments, **more):
        lines = belljar("run", *arguments, **more).stderr.splitlines()
        return [line for line in lines if line.startswith("belljar: ")]

    ended = REFUSED_OFTEN + "open('/etc/shadow')"
    (line,) = shown("-c", ended, check=126)
    assert line == "belljar: refused openat /etc/shadow (rule read): --read /etc/shadow or Policy(read=['/etc/shadow'])"
    assert len(shown("--verbose", "-c", ended, check=126)) == 10
    for other in ("", "raise ValueError('x')", "open('/nowhere/x')"):
        status = 1 if other else 0
        assert shown("-c", REFUSED_OFTEN + other, check=status) == []
        lines = shown("--verbose", "-c", REFUSED_OFTEN + other, check=status)
        assert len([line for line in lines if "refused" in line]) == 9
        assert ("it looked 1 times for what is not shown" in lines[-1]) == ("nowhere" in other)


def test_quiet_leaves_out_the_remarks_only():
    done = belljar("run", "--quiet", "-c", "open('/etc/shadow')", check=126)
    assert "Traceback" in done.stderr
    assert "belljar: refused" not in done.stderr


def test_a_name_chosen_by_the_guest_cannot_drive_the_terminal():
    done = belljar("run", "-c", "open('/root/\\x1b[31m\\n\\x9b2Jred')")
    path = b"/nowhere/\x1b[31m\n\xc2\x9b2J"
    missing = subprocess.run([COMMAND, "run", path], capture_output=True, timeout=30).stderr.decode()
    lines = [line for line in done.stderr.splitlines() if line.startswith("belljar: refused")] + [missing.removesuffix("\n")]
    assert len(lines) == 2
    assert "31m" in lines[1]
    assert not any(ord(letter) < 32 or 0x7F <= ord(letter) < 0xA0 for line in lines for letter in line)


def test_ctrl_c_interrupts_and_the_program_may_handle_it():
    code = "import time\ntry:\n  print('go', flush=True)\n  time.sleep(30)\nexcept KeyboardInterrupt: print('handled')"
    process = subprocess.Popen([COMMAND, "run", "-c", code], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"go\n"
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=20)
    assert (out, process.returncode) == (b"handled\n", 0)


def test_ctrl_c_unhandled_ends_it_as_python_does():
    process = subprocess.Popen([COMMAND, "run", "-c", "import time; print('go', flush=True); time.sleep(30)"],
                               stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)  # fmt: skip
    assert process.stdout.readline() == b"go\n"
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=20)
    assert process.returncode == 130
    assert err.rstrip().endswith(b"KeyboardInterrupt")


def test_a_second_ctrl_c_kills_what_does_not_listen():
    code = "import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\nprint('go', flush=True)\nwhile 1: pass"
    process = subprocess.Popen(
        [COMMAND, "run", "-c", code], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert process.stdout.readline() == b"go\n"
    process.send_signal(signal.SIGINT)
    time.sleep(0.5)
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    assert process.wait(20) == 130
    process.stdout.close()


# ---- JSON and audit ----------------------------------------------------------------------------------------------


@core
def test_the_json_object_has_exactly_the_promised_parts():
    answer = run_json("-c", "import sys; print('out'); print('err', file=sys.stderr)")
    assert set(answer) == {"verdict", "exit", "text", "results", "stdout", "stderr", "logs", "error", "usage", "violations",
                           "refused", "probes", "truncated"}  # fmt: skip
    assert (answer["text"], answer["results"], answer["refused"]) == (None, [], 0)
    assert set(answer["usage"]) == {"wall_ms", "cpu_ms", "peak_bytes", "served"}
    assert (answer["stdout"], answer["stderr"], answer["error"], answer["violations"]) == ("out\n", "err\n", None, [])
    assert answer["usage"]["wall_ms"] > 0
    assert answer["usage"]["peak_bytes"] > 1_000_000


@pytest.mark.parametrize("code", ["print('a'); 1/0", "raise SystemExit(3)", "raise SystemExit", r"print('\ra\r\n\vb\x85\u2028c\x1c\0d')",
                                  "try: open('/etc/shadow')\nexcept OSError: pass"])  # fmt: skip
def test_the_json_object_is_the_one_of_python(code):
    ours, theirs = run_json("-c", code), json.loads(run(code).to_json())
    assert set(ours) == set(theirs) and set(ours["usage"]) == set(theirs["usage"])
    for answer in (ours, theirs):
        del answer["usage"], answer["text"], answer["results"]
        if answer["error"] is not None:
            del answer["error"]["traceback"]
    assert ours == theirs


def test_the_json_error_has_name_value_and_traceback():
    error = run_json("-c", "raise LookupError('gone')")["error"]
    assert set(error) == {"name", "value", "traceback"}
    assert (error["name"], error["value"]) == ("LookupError", "gone")
    assert error["traceback"].startswith("Traceback (most recent call last):")
    assert error["traceback"].endswith("LookupError: gone\n")


def test_json_violations_have_op_target_rule_and_hint():
    answer = run_json("-c", "try: open('/etc/shadow')\nexcept OSError: pass")
    assert answer["verdict"] == "ok"
    (violation,) = answer["violations"]
    assert set(violation) == {"op", "target", "rule", "hint"}
    assert (violation["target"], violation["rule"]) == ("/etc/shadow", "read")


def test_bytes_that_are_not_utf8_are_replaced_in_json():
    answer = run_json("-c", "import os; os.write(1, b'a\\xff\\xed\\xa0\\x80\\x00z')")
    assert answer["stdout"] == "a\ufffd\ufffd\ufffd\ufffd\x00z"


def test_json_is_one_object_also_where_belljar_fails():
    done = belljar("run", "--json", "--python", "/nowhere/python3", "-c", "pass", check=125)
    answer = json.loads(done.stdout)
    assert answer["verdict"] == "infra_error"
    assert "/nowhere/python3" in answer["error"]["value"]


def test_the_audit_file_has_one_object_a_line(tmp_path):
    audit = tmp_path / "audit.jsonl"
    belljar("run", "--audit", audit, "-c", "open('note.txt', 'w').write('x')\nopen('/etc/shadow')", check=126)
    rows = [json.loads(line) for line in audit.read_text().splitlines()]
    assert all(set(row) == {"time", "guest", "op", "target", "outcome", "rule"} for row in rows)
    assert any("note.txt" in row["target"] and row["outcome"] == "ok" for row in rows)
    assert any(row["target"] == "/etc/shadow" and row["outcome"] in ("EACCES", "EPERM") and row["rule"] == "read" for row in rows)


# ---- Bad use ------------------------------------------------------------------------------------------------------

BAD_USE = [
    # name, arguments, exit status, words that the message must have
    ("nothing", [], 2, ["usage: belljar"]),
    ("unknown command", ["rnu"], 2, ["unknown command rnu", "run"]),
    ("a script without run", ["job.py"], 2, ["belljar run job.py"]),
    ("planned command", ["serve"], 125, ["not implemented"]),
    ("no program", ["run"], 2, ["-c CODE"]),
    ("missing script", ["run", "/nowhere/job.py"], 2, ["/nowhere/job.py", "No such file"]),
    ("directory", ["run", "/tmp"], 2, ["/tmp is a directory", "-m MODULE"]),
    ("unknown option", ["run", "--tiemout", "5", "-c", ""], 2, ["--tiemout", "did you mean --timeout?"]),
    ("unknown short option", ["run", "-q", "-c", ""], 2, ["unknown option -q"]),
    ("option begun", ["run", "--mem", "5", "-c", ""], 2, ["did you mean --memory?"]),
    ("no value", ["run", "--timeout"], 2, ["--timeout needs a value", "SECONDS"]),
    ("a value too many", ["run", "--json=yes", "-c", ""], 2, ["--json takes no value"]),
    ("not a number", ["run", "--timeout", "5s", "-c", ""], 2, ["--timeout", "number of seconds"]),
    ("negative", ["run", "--timeout", "-5", "-c", ""], 2, ["--timeout", "number of seconds"]),
    ("not a size", ["run", "--memory", "lots", "-c", ""], 2, ["--memory", "512M"]),
    ("too small", ["run", "--memory", "1", "-c", ""], 2, ["--memory", "between"]),
    ("code and module", ["run", "-c", "pass", "-m", "x"], 2, ["-c and -m contradict each other"]),
    ("two values", ["run", "--timeout", "1", "--timeout", "2", "-c", ""], 2, ["--timeout 1 and --timeout 2 contradict"]),
    ("missing grant", ["run", "--read", "/nowhere", "-c", ""], 2, ["/nowhere", "No such file"]),
    ("grant of all", ["run", "--read", "/", "-c", ""], 2, ["/ cannot be granted"]),
    ("unknown layer", ["run", "--allow-missing", "seccomp", "-c", ""], 2, ["--allow-missing", "landlock"]),
    ("missing policy", ["run", "--policy", "/nowhere.json", "-c", ""], 2, ["/nowhere.json", "No such file"]),
    ("audit nowhere", ["run", "--audit", "/nowhere/a.jsonl", "-c", ""], 2, ["/nowhere/a.jsonl"]),
    ("missing interpreter", ["run", "--python", "/nowhere/python3", "-c", ""], 125, ["/nowhere/python3"]),
    ("not Python", ["run", "--python", "/bin/true", "-c", ""], 125, ["/bin/true"]),
    ("failing preload", ["run", "--preload", "no_such_module", "-c", ""], 125, ["no_such_module", "ModuleNotFoundError"]),
    ("doctor with arguments", ["doctor", "now"], 2, ["takes no argument"]),
    ("explain unknown", ["explain", "--syscall"], 2, ["did you mean --syscalls?"]),
]


@pytest.mark.parametrize(("name", "arguments", "status", "words"), BAD_USE, ids=[row[0] for row in BAD_USE])
def test_bad_use_is_a_clear_error(name, arguments, status, words):
    done = belljar(*arguments)
    assert done.returncode == status, done.stderr
    for word in words:
        assert word in done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr


def test_a_script_that_is_not_utf8_is_a_syntax_error_of_its_own(script):
    done = belljar("run", script(b"x = 1\ny = '\xe9'\n"), check=1)
    assert "SyntaxError" in done.stderr
    assert "0xe9" in done.stderr


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_script_that_cannot_be_read_is_named(script):
    path = script("pass")
    path.chmod(0)
    assert "Permission denied" in belljar("run", path, check=2).stderr


POLICIES = [
    ("not JSON", "{timeout: 5}", ["line 1", "not JSON"]),
    ("no object", "[1]", ["an object is expected"]),
    ("unknown key", '{"timout": 5}', ["timout", "did you mean timeout?"]),
    ("wrong type", '{"timeout": "soon"}', ["timeout", "number of seconds"]),
    ("duplicate key", '{"timeout": 5, "timeout": 6}', ["duplicate"]),
]


@pytest.mark.parametrize(("name", "text", "words"), POLICIES, ids=[row[0] for row in POLICIES])
def test_a_bad_policy_file_is_a_clear_error(name, text, words, tmp_path):
    path = tmp_path / "policy.json"
    path.write_text(text)
    done = belljar("run", "--policy", path, "-c", "pass", check=2)
    for word in [str(path), *words]:
        assert word in done.stderr


def test_options_are_applied_after_the_policy_file(tmp_path):
    path = tmp_path / "policy.json"
    path.write_text('{"timeout": 0.3, "memory": "128M"}')
    options = json.loads(belljar("explain", "--json", "--timeout", "7", "--policy", path, check=0).stdout)["options"]
    assert (options["timeout"], options["memory"]) == (7, 128 << 20)
    assert belljar("run", "--policy", path, "-c", "while 1: pass").returncode == 124


def test_a_path_that_looks_like_a_number_stays_a_path(tmp_path):
    (tmp_path / "5").write_text("")
    options = json.loads(belljar("explain", "--json", "--read", "5", "--scratch-dir", "5", check=0, cwd=tmp_path).stdout)["options"]
    assert options["read"] == [str(tmp_path / "5")]
    assert options["scratch_dir"] == "5"


def test_lists_are_taken_apart_at_commas():
    options = json.loads(belljar("explain", "--json", "--preload", "json,re", "--preload", "math", check=0).stdout)["options"]
    assert options["preload"] == ["json", "re", "math"]


# ---- The other commands ---------------------------------------------------------------------------------------------


def test_help_lists_every_option_of_the_table():
    options = json.loads(belljar("explain", "--json", check=0).stdout)["options"]
    text = belljar("run", "--help", check=0).stdout
    for key in set(options) - {"warm", "language"}:
        assert f"--{'no-' if key == 'jit' else ''}{key.replace('_', '-')}" in text  # on unless refused
    for flag in ("-c CODE", "-m MODULE", "--policy FILE", "--audit FILE", "--json"):
        assert flag in text


def test_help_shows_only_what_works():
    text = belljar("--help", check=0).stdout
    for name in ("run", "doctor", "explain", "shell", "learn", "mcp"):
        assert f"\n  {name}" in text
    assert "\n  serve" not in text


def test_version():
    import belljar as package

    assert belljar("--version", check=0).stdout == f"belljar {package.__version__}\n"


@core
def test_doctor_finds_what_is_required_here():
    done = belljar("doctor")
    assert done.stdout.splitlines()[0].split() == ["LAYER", "MECHANISM", "REQUIRED", "WORKS", "DETAIL"]
    answer = json.loads(belljar("doctor", "--json").stdout)
    assert set(answer) == {"works", "probes", "interpreter"}
    assert all(set(probe) == {"layer", "mechanism", "required", "works", "detail"} for probe in answer["probes"])
    assert answer["works"] == all(probe["works"] for probe in answer["probes"] if probe["required"])
    assert done.returncode == (0 if answer["works"] else 1)
    assert answer["works"]


def test_explain_shows_the_tables():
    text = belljar("explain", "--timeout", "7", check=0).stdout
    assert "== The policy" in text
    assert "== The system calls" in text
    assert "== The files" in text
    assert "uretprobe" in text
    only = belljar("explain", "--files", check=0).stdout
    assert "/etc/passwd" in only
    assert "== The system calls" not in only


def test_explain_counts_native_calls_within_the_targets():
    profiles = json.loads(belljar("explain", "--json", check=0).stdout)["profiles"]
    assert profiles["compute"]["native"] <= 20
    assert profiles["full"]["native"] <= 40


def test_every_system_call_has_a_reason():
    rules = json.loads(belljar("explain", "--json", check=0).stdout)["syscalls"]
    assert [rule["name"] for rule in rules if not rule["reason"] and rule["action"] == "native"] == []


def test_the_manual_pages_have_every_option(tmp_path):
    folder = pathlib.Path(__file__).resolve().parents[2] / "docs" / "man"
    if not folder.is_dir():
        pytest.skip("the manual's sources are not here")
    page = belljar("help", "--man", folder / "belljar-run.1.in", check=0).stdout
    for line in belljar("run", "--help", check=0).stdout.split("options:")[1].splitlines():
        if line.startswith("  -"):
            assert f".It Fl {line.split()[0][1:].replace('-', chr(92) + '-')}" in page
    assert "@" not in page


# ---- packages ----------------------------------------------------------------------------------------------------


def test_packages_are_those_of_the_guests_interpreter():
    found = json.loads(belljar("packages", "--json", check=0).stdout)
    assert found == belljar_package.packages() and "numpy" in found
    assert belljar("packages", "NumPy", check=0).stdout == f"numpy  {found['numpy']}\n"
    done = belljar("packages", "numpy", "not.there", check=1)
    assert done.stdout.startswith("numpy") and "not.there is not installed" in done.stderr and "--python" in done.stderr
    assert "/nowhere: No such file" in belljar("packages", "--python", "/nowhere", check=125).stderr


@pytest.mark.parametrize("network, count", [((), 1), (("--network", "self"), 2)], ids=["the zygote itself", "needed after it"])
def test_a_run_of_one_guest_takes_one_interpreter(network, count):
    """With a network of its own the zygote stays: it fetches the guest's sockets."""
    command = [COMMAND, "run", *network, "-c", "print('on', flush=True); input()"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        if process.stdout.readline() != b"on\n":
            error = process.communicate()[1].decode()
            assert network and "user namespaces" in error, error
            pytest.skip("network=self needs user namespaces, which this machine does not give")

        def children(pid):
            return [int(number) for number in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]

        (supervisor,) = children(process.pid)
        names = [pathlib.Path(f"/proc/{pid}/comm").read_text().strip() for pid in children(supervisor)]
        assert len([name for name in names if name != "belljar-init"]) == count, names
        process.communicate(b"\n")
    assert process.returncode == 0


@core
@pytest.mark.parametrize("mode", [0o600, 0o666])
def test_a_null_device_that_the_guests_user_may_not_write_is_named(mode, tmp_path):
    if os.geteuid() != 0 or subprocess.run(["unshare", "--mount", "true"], capture_output=True).returncode:
        pytest.skip("only root who may mount can put another /dev/null there, which the guest's user may not open")
    device = tmp_path / "null"
    device.touch()
    device.chmod(mode)
    done = subprocess.run(["unshare", "--mount", "sh", "-c", 'mount --bind "$0" /dev/null && exec "$@"', device, COMMAND, "run", "-c", "print(6 * 7)"],
                          stdin=subprocess.PIPE, capture_output=True, text=True)  # fmt: skip
    if mode & 0o002:
        assert (done.stdout, done.stderr) == ("42\n", "")
    else:
        assert done.stderr.startswith("belljar: interpreter: /dev/null: Permission denied for user ") and "chmod 666" in done.stderr


@core
@pytest.mark.parametrize(
    ("arguments", "stack", "status"),
    [
        ("run -c 'print(42)'", 64, 125),
        ("doctor", 64, 125),
        ("explain", 64, 125),
        ("run -c 'print(42)'", 512, 0),
        ("explain", 512, 0),
    ],
)
def test_a_stack_that_is_too_small_is_named(arguments, stack, status):
    """Else the command, or a process of its, ends by a signal."""
    done = subprocess.run(
        ["sh", "-c", f"ulimit -s {stack}; exec {COMMAND} {arguments}"], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == status, done
    if status:
        assert (
            done.stderr
            == "belljar: stack: this process may have 64 KiB, and belljar needs a limit of 256 KiB: raise it (ulimit -s)\n"
        )


@pytest.mark.parametrize(
    ("warm", "code", "status", "told"),
    [
        ("1 / 0", "print(42)", 0, "belljar: the text of warm= raised ZeroDivisionError: division by zero"),
        ("while True: pass", "print(42)", 124, 'belljar: time limit of 0.5 s reached; the text of warm= was running: File "<warm>", line 1'),
        ("", "while True: pass", 124, "belljar: time limit of 0.5 s reached; it was running: File"),
    ],
)  # fmt: skip
def test_a_warm_text_that_fails_or_has_no_end_is_named(tmp_path, warm, code, status, told):
    (tmp_path / "policy.json").write_text(json.dumps({"warm": warm, "timeout": 0.5 if status else 30}))
    done = belljar("run", "--policy", tmp_path / "policy.json", "-c", code, check=status)
    assert done.stderr.startswith(told), done.stderr
    assert done.stdout == ("42\n" if status == 0 else "")
