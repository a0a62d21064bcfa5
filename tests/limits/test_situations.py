"""Situations that users were in, each with the end that it should have. A program that needs a process of its own (because it
changes its limits, closes its descriptors, or counts its children) is started as one.

Not here: polars, which has to come from PyPI; it belongs to the test that installs packages."""

from __future__ import annotations

import concurrent.futures
import copy
import json
import multiprocessing
import os
import pickle
import shutil
import subprocess
import sys
import tempfile
import textwrap
import time

import belljar
import pytest
from belljar import Policy

core = pytest.mark.core


def command(*words: str, **options) -> subprocess.CompletedProcess:
    """The command, with its output as bytes."""
    return subprocess.run([shutil.which("belljar") or "belljar", *words], capture_output=True, timeout=60, **options)


def own_process(program: str, **options) -> str:
    """What a Python of its own prints for this program; it must end well."""
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, timeout=90, **options)
    assert done.returncode == 0, done.stderr[-1500:]
    return done.stdout


# ---- Verdicts and their reasons


@core
def test_a_refused_callback_is_not_called_the_memory_limit():
    code = "import ctypes\nprint(ctypes.CFUNCTYPE(ctypes.c_int)(lambda: 7)())"
    execution = belljar.run(code)
    assert execution.verdict != "memory"
    assert execution.stdout == "7\n" or execution.verdict == "violation" and {v.rule for v in execution.violations} >= {"jit"}
    assert belljar.run("x = bytearray(10**11)", Policy(memory="64M")).verdict == "memory"  # its twin: the limit itself


@core
def test_a_program_that_takes_its_own_permission_away_has_an_error_and_no_violation():
    execution = belljar.run("import os\nopen('own', 'w').close()\nos.chmod('own', 0)\nopen('own')")
    assert (execution.verdict, execution.error.name, execution.exit, execution.violations) == ("error", "PermissionError", 1, [])
    refused = belljar.run("open('/etc/shadow')")
    assert refused.verdict == "violation" and refused.violations


@core
@pytest.mark.parametrize(("policy", "files"), [
    ({"scratch": "1M"}, {"large": b"y" * 3_000_000}),
    ({"scratch_files": 8}, {f"n{n}": "" for n in range(30)}),
    ({}, {"../up": "x"}),
    ({}, {"": "x"}),
    ({}, {"both": "a file", "both/too": "a folder"}),
], ids=["too large", "too many", "outside", "no name", "file and folder"])  # fmt: skip
def test_files_that_cannot_be_handed_in_are_the_callers_error(policy, files):
    try:
        execution = belljar.run("print('ran')", Policy(**policy), files=files)
    except (belljar.SandboxError, ValueError, OSError, KeyError):
        return
    assert execution.verdict == "infra_error"
    assert "ran" not in execution.stdout


@core
def test_an_interpreter_out_of_reach_is_always_said_to_be_that():
    if os.geteuid() != 0 or not os.access("/tmp", os.W_OK):
        pytest.skip("only root becomes another user, who may not reach what root can; and it needs a writable /tmp")
    with tempfile.TemporaryDirectory(dir="/tmp") as top:
        os.chmod(top, 0o755)
        os.mkdir(top + "/closed", 0o700)
        shutil.copy(os.path.realpath("/usr/bin/python3"), top + "/closed/python3")
        os.symlink("closed/python3", top + "/python3")
        said = {command("run", "--python", top + "/python3", "-c", "1").stderr for _ in range(12)}
    if os.path.exists("/proc/self/status") and "CapEff:\t0000000000000000" in open("/proc/self/status").read():
        pytest.skip("this root has no capability, so it stays who it is")
    assert len(said) == 1 and b"ermission denied" in said.pop()


# ---- What a program's own streams and files do


@core
def test_the_streams_have_their_usual_names():
    program = "numbers = open('/dev/stdin').read().split()\nprint(len(numbers), file=open('/dev/stdout', 'a'))\n" \
              "print('end', file=open('/dev/fd/2', 'a'))\nprint('err', file=open('/dev/stderr', 'a'))"  # fmt: skip
    done = command("run", "-c", program, input=b"4 5\n6\n")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"3\n", b"end\nerr\n")


@core
def test_a_pipe_can_be_made_non_blocking_and_back():
    code = """
    import fcntl, os
    for end in os.pipe():
        old = fcntl.fcntl(end, fcntl.F_GETFL)
        fcntl.fcntl(end, fcntl.F_SETFL, old | os.O_NONBLOCK)
        assert fcntl.fcntl(end, fcntl.F_GETFL) & os.O_NONBLOCK
        fcntl.fcntl(end, fcntl.F_SETFL, old)
    try:
        fcntl.fcntl(end, fcntl.F_SETFL, old | os.O_ASYNC)
        print('GOT signals')
    except OSError:
        print('refused')
    """
    execution = belljar.run(textwrap.dedent(code))
    assert (execution.verdict in ("ok", "violation"), execution.stdout) == (True, "refused\n")


@core
@pytest.mark.parametrize("end", ["", "\n1 / 0", "\nraise SystemExit(4)", "\nexit()"], ids=["end", "exception", "exit 4", "exit"])
def test_a_file_left_open_is_written(end):
    execution = belljar.run(
        "out = open('o', 'w')\nout.write('half a line')\nimport csv\ncsv.writer(open('c', 'w', newline='')).writerow([1, 2])" + end
    )
    assert dict(execution.files) == {"o": b"half a line", "c": b"1,2\r\n"}


@core
@pytest.mark.parametrize(("then", "policy", "verdict"), [
    ("import time; time.sleep(20)", {"timeout": 1}, "timeout"),
    ("while True: pass", {"timeout": 20, "cpu": 1}, "cpu"),
    ("import ctypes; ctypes.string_at(0)", {}, "crashed"),
    ("x = []\nwhile True: x.append(bytearray(1 << 20))", {"memory": "64M"}, "memory"),
])  # fmt: skip
def test_an_unfinished_line_is_there_at_any_end(then, policy, verdict):
    execution = belljar.run(f"print('50 percent', end='')\n{then}", Policy(**policy))
    assert (execution.verdict, execution.stdout) == (verdict, "50 percent")


@core
def test_an_unfinished_line_is_streamed():
    with belljar.Sandbox() as sandbox:
        began = time.monotonic()
        first = next(iter(sandbox.stream("import time\nprint('.', end='')\ntime.sleep(3)")))
        assert time.monotonic() - began < 2.5, first


@core
@pytest.mark.parametrize("code", ["print(1)", "print('y' * 9000)", "import os; os.write(1, bytes(99))"])
def test_a_standard_output_that_is_closed_changes_nothing(code):
    words = [shutil.which("belljar") or "belljar", "run", "-c", code]
    assert subprocess.run(["sh", "-c", 'exec "$@" >&-', "sh", *words], timeout=60).returncode == 0


@core
def test_a_session_without_input_is_at_its_end_at_once():
    with belljar.Sandbox(Policy(timeout=4)) as sandbox:
        sandbox.run_code("before = 2")
        execution = sandbox.run_code("input('say: ')")
        assert (execution.verdict, execution.error.name) == ("error", "EOFError")
        assert sandbox["before"] == 2


@core
def test_source_is_read_as_python_reads_a_file(tmp_path):
    assert belljar.run("# coding: cp1252\nprint('na\u00efve')".encode("cp1252")).stdout == "na\u00efve\n"
    assert belljar.run(b"\xef\xbb\xbfprint(2)").stdout == "2\n"
    assert belljar.run(b"print('\xff')").error.name == "SyntaxError"
    script = tmp_path / "s.py"
    script.write_bytes(b"x = '\xe4\xff'\n")
    assert json.loads(command("run", "--json", str(script)).stdout)["verdict"] == "error"


@core
def test_a_script_finds_the_files_beside_it_however_it_was_named(tmp_path):
    for parent in (tmp_path, *tmp_path.parents):
        if parent.stat().st_uid == os.geteuid() and str(parent).startswith(str(tmp_path.parents[1])):
            parent.chmod(0o755)
    project = tmp_path / "p"
    project.mkdir(mode=0o755)
    (project / "t.txt").write_text("beside")
    (project / "s.py").write_text(
        "import os\nprint(os.path.isabs(__file__), open(os.path.join(os.path.dirname(__file__), 't.txt')).read())"
    )
    for words, where in ((("--read", "p", "p/s.py"), tmp_path), (("--read", ".", "s.py"), project)):
        done = command("run", *words, cwd=where)
        assert (done.returncode, done.stdout) == (0, b"True beside\n"), done.stderr


# ---- Sessions


@core
@pytest.mark.parametrize("way", ["import sys; sys.exit(0)", "exit()", "import sys; sys.exit(5)", "raise SystemExit"])
def test_a_called_function_that_exits_is_an_error_of_that_call(way):
    namespace: dict = {}
    exec(f"def leaves():\n    {way}", namespace)
    with belljar.Sandbox() as sandbox:
        with pytest.raises(belljar.GuestError, match="") as caught:
            sandbox.call(namespace["leaves"])
        assert caught.value.name == "SystemExit"
        assert sandbox.run_code("3").value == 3


@core
def test_a_called_function_that_ends_its_process_ends_the_session_and_says_so():
    with belljar.Sandbox() as sandbox:
        with pytest.raises(belljar.SandboxError) as caught:
            sandbox.call(lambda: os._exit(0))
        assert not isinstance(caught.value, belljar.ProtocolError)
        with pytest.raises(belljar.SessionEnded):
            sandbox.run_code("1")


@core
def test_one_session_too_many_fails_alone():
    said = own_process("""
        import resource, time, belljar
        resource.setrlimit(resource.RLIMIT_NOFILE, (400, 400))
        there = [belljar.Sandbox() for _ in range(10)]
        for n, box in enumerate(there): box["n"] = n
        more, reason = [], ""
        try:
            while len(more) < 300:
                more.append(belljar.Sandbox()); more[-1]["n"] = 0
        except (belljar.SandboxError, OSError) as error:
            reason = str(error)
        for box in more: box.close()
        time.sleep(0.5)  # their guests end
        assert reason, "all could be had"
        print([box["n"] for box in there] == list(range(10)))
        with belljar.Sandbox() as again: print(again.run_code("1").value)
    """)  # fmt: skip
    assert said == "True\n1\n"


# ---- The host


def fails(kind):
    with belljar.Sandbox() as sandbox:
        if kind == "gone":
            sandbox.run_code("import os; os._exit(2)")
            sandbox.run_code("1")
        if kind == "execution":
            return sandbox.run_code("print('out'); 11")
        sandbox.call({"key": lambda: {}["the key"], "exit": lambda: sys.exit(3)}[kind])


@core
def test_errors_and_results_cross_a_process_pool():
    try:
        multiprocessing.get_context("fork").Lock()
    except OSError as error:
        pytest.skip(f"no pool of processes can be made here: its locks are files of /dev/shm: {error}")
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("fork")) as pool:
        for kind, types in (
            ("key", (belljar.GuestError, KeyError)),
            ("exit", (belljar.GuestError,)),
            ("gone", (belljar.SessionEnded,)),
        ):
            with pytest.raises(belljar.SandboxError) as caught:
                pool.submit(fails, kind).result(timeout=60)
            assert all(isinstance(caught.value, wanted) for wanted in types), kind
            assert kind != "key" or "the key" in str(caught.value) and caught.value.name == "KeyError" and caught.value.traceback
        execution = pool.submit(fails, "execution").result(timeout=60)
        assert (execution.stdout, execution.value, execution.verdict) == ("out\n", 11, "ok")


@core
@pytest.mark.parametrize(
    "make", [lambda p: pickle.loads(pickle.dumps(p)), copy.copy, copy.deepcopy], ids=["pickle", "copy", "deepcopy"]
)
def test_a_policy_is_plain_data(make):
    policy = Policy(timeout=4, memory="200M", read=["/usr/share"], jit=True)
    assert make(policy) == policy
    assert make(policy) != Policy(timeout=5)


@core
def test_results_are_readable_for_as_long_as_they_are_kept():
    kept = [belljar.run(f"open('n', 'w').write('{n}')", Policy(timeout=20 + n)) for n in range(11)]
    assert [execution.files["n"] for execution in kept] == [str(n).encode() for n in range(11)]
    assert all(execution.usage.wall_ms > 0 for execution in kept)


@core
def test_the_hosts_own_limits_stay():
    said = own_process("""
        import os, resource, signal, subprocess, belljar
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (300, hard))
        def state():
            mask = os.umask(0); os.umask(mask)
            handlers = [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGPIPE, signal.SIGCHLD, signal.SIGTERM)]
            return [resource.getrlimit(n) for n in range(16)], os.getcwd(), mask, handlers
        before = state()
        belljar.run("1")
        print(state() == before, subprocess.run(["sh", "-c", "ulimit -Sn"], capture_output=True, text=True).stdout.strip())
    """)  # fmt: skip
    assert said == "True 300\n"


@core
def test_a_command_that_is_terminated_leaves_no_zombie():
    said = own_process("""
        import ctypes, os, shutil, subprocess, sys, time
        ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # what is orphaned below comes to this process
        for number in (15, 2, 1):
            p = subprocess.Popen([shutil.which("belljar"), "run", "-c", "import time; time.sleep(20)"], stderr=subprocess.DEVNULL)
            time.sleep(0.7); p.send_signal(number); p.wait()
        time.sleep(1)
        with open(f"/proc/self/task/{os.getpid()}/children") as file: print(file.read().split())
    """)  # fmt: skip
    assert said == "[]\n"


@core
def test_first_calls_at_once_start_one_interpreter():
    program = """
        import os, threading, time, belljar, sampler
        most, done = 0, []
        def run(): done.append(belljar.run("3 * 3", belljar.Policy(timeout=50)).value)
        threads = [threading.Thread(target=run) for _ in range(30)]
        for thread in threads: thread.start()
        while any(thread.is_alive() for thread in threads):
            most = max(most, len(sampler.supervisors(os.getpid()))); time.sleep(0.005)
        print(most, done == [9] * 30)
    """  # fmt: skip
    here = os.path.dirname(os.path.abspath(__file__))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([here, os.environ.get("PYTHONPATH", "")])}
    assert own_process(program, env=environment) == "1 True\n"
