"""The host process stays as it was: its limits, handlers, streams; and what it gets from belljar is its own to keep and send."""

from __future__ import annotations

import asyncio
import concurrent.futures
import copy
import ctypes
import multiprocessing
import os
import pathlib
import pickle
import resource
import signal
import subprocess
import sys
import textwrap
import threading
import time

import belljar
import looking
import pytest
from belljar import Policy

core = pytest.mark.core

PR_SET_CHILD_SUBREAPER = 36


def host(code: str, *arguments: str, **options: object) -> subprocess.CompletedProcess[str]:
    """A program that uses belljar."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([os.path.dirname(__file__), *filter(None, sys.path)])}
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), *arguments],
        text=True,
        env=environment,
        timeout=120,
        capture_output=True,
        **options,
    )  # type: ignore[call-overload, no-any-return]  # fmt: skip


def command() -> str:
    return os.path.join(os.environ.get("BELLJAR_BUILD", "build"), "belljar")


# ---- Its state -------------------------------------------------------------------------------------------------------


@core
def test_identity_and_dumpability_stay():
    """Root asks as another user what that user may read, in memory that both have."""
    done = host(
        """
        import ctypes, os, signal, belljar
        libc = ctypes.CDLL(None)
        libc.prctl(1, signal.SIGTERM, 0, 0, 0)  # PR_SET_PDEATHSIG
        def state():
            number = ctypes.c_int()
            libc.prctl(2, ctypes.byref(number), 0, 0, 0)
            kept = ("Uid", "Gid", "Groups", "CapEff", "SigBlk")
            lines = [line for line in open("/proc/self/status") if line.startswith(kept)]
            return lines, libc.prctl(3, 0, 0, 0, 0), number.value, signal.pthread_sigmask(signal.SIG_BLOCK, [])
        before = state()
        for _ in range(3):
            try:
                belljar.run("1", belljar.Policy(read=["/"]))
            except belljar.SandboxError:
                pass
            belljar.run("1", belljar.Policy())
        after = state()
        print([(old, new) for old, new in zip(before, after) if old != new], before[1:3])
        """
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "[] (1, 15)\n", done.stdout


@core
def test_what_is_forked_while_another_thread_asks_can_ask_itself(tmp_path):
    if os.geteuid() != 0:
        pytest.skip("not root: nobody is asked as another user")
    folders = [tmp_path / str(number) for number in range(200)]
    for folder in folders:
        folder.mkdir()
    tmp_path.chmod(0o755)
    folders[-1].chmod(0o700)  # so that nothing is started
    done = host(
        """
        import ctypes, os, signal, sys, threading, belljar
        libc = ctypes.CDLL(None)
        policy = belljar.Policy(read=sys.argv[1:])
        def ask():
            try:
                belljar.Template(policy)
            except belljar.SandboxError as error:
                assert "Permission denied" in str(error), error
        def go():
            while not is_over:
                ask()
        is_over = False
        thread = threading.Thread(target=go)
        thread.start()
        ends = []
        for _ in range(12):
            child = os.fork()
            if child == 0:
                signal.alarm(10)
                is_dumpable = libc.prctl(3, 0, 0, 0, 0)
                ask()
                os._exit(1 - is_dumpable)
            ends.append(os.waitpid(child, 0)[1])
            if ends[-1]:
                break
        is_over = True
        thread.join()
        print(ends)
        """,
        *map(str, folders),
    )
    assert done.stdout == f"{[0] * 12}\n", done


@core
def test_templates_that_end_while_a_timer_ticks_leave_no_child():
    """Waiting for a supervisor's end is interrupted by the program's own signals, and goes on."""
    done = host(
        """
        import os, signal, belljar
        ticks = []
        signal.signal(signal.SIGALRM, lambda *_: ticks.append(1))
        signal.setitimer(signal.ITIMER_REAL, 0.0002, 0.0002)
        for _ in range(8):
            with belljar.Template(belljar.Policy()) as template:
                assert template.run("print(1)").stdout == "1\\n"
        signal.setitimer(signal.ITIMER_REAL, 0)
        try:
            print("left:", os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG))
        except ChildProcessError:
            print("none of", bool(ticks))
        """
    )
    assert done.stdout == "none of True\n", done


@core
def test_limits_handlers_mask_directory_and_umask_stay():
    done = host(
        """
        import os, resource, signal, subprocess, asyncio, belljar
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (200, hard))
        import threading; first = threading.Thread(target=int); first.start(); first.join()  # libc has handlers for threads
        def state():
            handlers = {n: signal.getsignal(n) for n in signal.valid_signals()}
            limits = {n: resource.getrlimit(getattr(resource, n)) for n in dir(resource) if n.startswith("RLIMIT_")}
            mask = os.umask(0); os.umask(mask)
            kernel = [l for l in open("/proc/self/status") if l.startswith(("Sig", "Shd", "NoNewPrivs", "Seccomp:"))]
            return handlers, limits, mask, os.getcwd(), signal.pthread_sigmask(signal.SIG_BLOCK, []), kernel
        os.umask(0o027)
        before = state()
        belljar.run("print(1)", stdin="x", on_stdout=print, files={"a": "b"}).files
        with belljar.Sandbox() as sandbox:
            sandbox.run_code("import os; os.umask(0); os.chdir('/tmp')")
            sandbox["x"] = 1
        asyncio.run(belljar.arun("1"))
        with belljar.SandboxExecutor(max_workers=2) as pool:
            list(pool.map(abs, [1, -2]))
        after = state()
        assert before == after, (before, after)
        assert subprocess.run(["sh", "-c", "ulimit -Sn"], capture_output=True, text=True).stdout.strip() == "200"
        print("fine")
    """
    )
    assert done.stdout.endswith("fine\n"), done.stderr


@core
def test_a_sandbox_too_many_for_the_descriptors_fails_alone():
    done = host(
        """
        import os, resource, belljar
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        template = belljar.Template()
        resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")) + 40, hard))
        open_ones = []
        try:
            for n in range(30):
                box = template.sandbox()
                box.run_code(f"n = {n}")
                open_ones.append(box)
        except belljar.SandboxError as error:
            print(type(error).__name__, error)
        assert 5 < len(open_ones) < 30, len(open_ones)
        assert [box.run_code("n").value for box in open_ones] == list(range(len(open_ones)))
        for box in open_ones[:3]:
            box.close()
        assert template.run("6*7").value == 42
        print("fine")
    """
    )
    assert done.stdout.endswith("fine\n"), done.stderr
    assert "ulimit -n" in done.stdout


SMALL_STACK = """
    import resource, threading, belljar
    hard = resource.getrlimit(resource.RLIMIT_STACK)[1]
    resource.setrlimit(resource.RLIMIT_STACK, (STACK << 10, hard))
    def work():  # in a thread, whose own stack was settled before
        try:
            print(belljar.run("6 * 7").value)
        except belljar.SandboxError as error:
            print(error)
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
"""


@core
@pytest.mark.parametrize(("stack", "told"), [("64", "a stack of 64 KiB"), ("512", "42")])
def test_a_stack_that_is_too_small_is_named(stack, told):
    """The supervisor, or the interpreter, would end by a signal."""
    done = host(SMALL_STACK.replace("STACK <<", stack + " <<"))
    assert told in done.stdout and ("ulimit -s" in done.stdout) is (stack == "64"), done


CLOSED = """
    import os, sys
    out = os.dup2(1, 90)
    which = [int(word) for word in sys.argv[1]]
    import asyncio, belljar, looking
    for stream in which:
        os.close(stream)
    def check(where):
        for stream in which:
            try: found = os.readlink(f"/proc/self/fd/{stream}")
            except OSError: continue
            assert False, (where, stream, found)
    try:
        with belljar.Template() as template:
            check("template")
            execution = template.run("print('x' * 5000); open('f', 'w').write('y'); input() if 0 else 42")
            assert (execution.value, len(execution.stdout), execution.files["f"]) == (42, 5001, b"y")
            check("run")
            with template.sandbox(files={"a": "b"}) as sandbox:
                sandbox["x"] = 1
                assert sandbox.run_code("print(x); x + 1").value == 2 and sandbox.files["a"] == b"b"
                check("session")
            (supervisor,) = looking.supervisors()
            try:
                assert set(os.listdir(f"/proc/{supervisor}/fd")) >= {"0", "1", "2"}
            except PermissionError: pass
        assert belljar.run("print(1)").stdout == "1\\n"
        async def loop():
            async with belljar.AsyncSandbox() as sandbox:
                assert (await sandbox.run_code("print(2); 3")).value == 3
        asyncio.run(loop())
        said = "fine"
    except BaseException as error:
        import traceback
        said = traceback.format_exc()
    os.write(90, said.encode())
"""


@core
@pytest.mark.parametrize("closed", ["", "0", "1", "2", "01", "02", "12", "012"])
def test_nothing_of_belljars_lands_on_a_closed_stream(closed):
    done = host(CLOSED, closed)
    assert done.stdout == "fine", done


@core
@pytest.mark.parametrize("closed", ["", "0", "1", "2", "01", "02", "12", "012"])
@pytest.mark.parametrize("code", ["print(1)", "print('x' * 5000)", "import sys; sys.stdout.buffer.write(bytes(64))"])
def test_the_command_runs_with_its_streams_closed(closed, code):
    redirections = " ".join({"0": "<&-", "1": ">&-", "2": "2>&-"}[stream] for stream in closed)
    done = subprocess.run(["sh", "-c", f'exec "$0" run -c "$1" {redirections}', command(), code], capture_output=True)
    assert done.returncode == 0, done
    assert bool(done.stdout) == ("1" not in closed)


# ---- Its end ---------------------------------------------------------------------------------------------------------


@core
@pytest.mark.parametrize(("when", "number"), [
    ("run", signal.SIGTERM), ("run", signal.SIGHUP), ("run", signal.SIGQUIT),  # one handler: the rest with one of them
    ("start", signal.SIGTERM), ("blocked", signal.SIGTERM), ("stopped", signal.SIGTERM),
])  # fmt: skip
def test_the_command_ended_by_a_signal_leaves_nothing(when, number, tmp_path):
    left = host("""
        import ctypes, os, signal, subprocess, sys, time, looking
        ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # orphans come here, as in a container without an init
        command, number, when, slow = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4]
        code = {"blocked": "print('x' * 500000)"}.get(when, "import time; time.sleep(99)")
        options = ["--python", slow] if when == "start" else []
        process = subprocess.Popen([command, "run", *options, "-c", code], stdout=subprocess.PIPE)
        assert looking.wait_until(lambda: looking.children(process.pid), 10)
        time.sleep(1)
        if when == "stopped":
            try: os.kill(looking.children(process.pid)[0], signal.SIGSTOP)
            except PermissionError: when = "run"
        os.kill(process.pid, number)
        assert process.wait(15) == -number, process.returncode
        time.sleep(0.1)
        print([(looking.name_of(pid), looking.stat_of(pid)) for pid in looking.children(os.getpid())])
    """, command(), str(int(number)), when, str(slow_interpreter(tmp_path)))  # fmt: skip
    assert left.stdout == "[]\n", left


def slow_interpreter(folder: pathlib.Path) -> pathlib.Path:
    """One that takes its time to start. Where the sandbox's user can reach it."""
    script = folder / "slow"
    script.write_text("#!/bin/sh\nexec sleep 30\n")
    for path in (script, *script.parents):
        if path.stat().st_uid == os.getuid() and str(path).startswith("/tmp/"):
            path.chmod(0o755)
    return script


@core
def test_ctrl_c_before_the_program_runs_ends_the_command(tmp_path):
    with subprocess.Popen([command(), "run", "--python", str(slow_interpreter(tmp_path)), "-c", "1"]) as process:
        try:
            assert looking.wait_until(lambda: len(looking.descendants(process.pid)) >= 2, 10)
            time.sleep(0.3)
            process.send_signal(signal.SIGINT)
            assert process.wait(10) == -signal.SIGINT
        finally:
            process.kill()


@core
def test_what_is_ignored_stays_ignored():
    done = subprocess.run(["sh", "-c", 'trap "" HUP; "$0" run -c "print(1); import time; time.sleep(1); print(2)" & sleep 0.5; '
                           "kill -HUP $!; wait $!; echo $?", command()], capture_output=True, text=True)  # fmt: skip
    assert done.stdout == "1\n2\n0\n", done


# ---- Many at once ----------------------------------------------------------------------------------------------------


def most_supervisors_during(work: list[threading.Thread]) -> int:
    for thread in work:
        thread.start()
    most = 0
    while any(thread.is_alive() for thread in work):
        most = max(most, len(looking.supervisors()))
        time.sleep(0.005)
    return most


@core
def test_first_calls_at_once_start_one_interpreter():
    done = host("""
        import asyncio, sys, threading, time
        sys.path.insert(0, sys.argv[1])
        import belljar
        from test_host_stays import most_supervisors_during
        results = []
        work = [threading.Thread(target=lambda: results.append(belljar.run("6*7", belljar.Policy(timeout=77)).value)) for _ in range(40)]
        assert most_supervisors_during(work) == 1
        assert results == [42] * 40
        async def many():
            return await asyncio.gather(*(belljar.arun("6*7", belljar.Policy(timeout=78)) for _ in range(40)))
        work = [threading.Thread(target=lambda: results.extend(e.value for e in asyncio.run(many())))]
        assert most_supervisors_during(work) == 2
        assert results == [42] * 80
        policies = [belljar.Policy(timeout=80 + n) for n in range(4)]
        work = [threading.Thread(target=lambda p=p: belljar.run("import numpy", p, preload=["numpy"])) for p in policies]
        assert most_supervisors_during(work) == 6  # different ones start side by side
        errors = []
        def fails():
            try: belljar.run("1", python="/nonexistent/python")
            except belljar.StartError as error: errors.append(str(error))
        work = [threading.Thread(target=fails) for _ in range(10)]
        most_supervisors_during(work)
        assert len(errors) == 10 and len(set(errors)) == 1, errors
        print("fine")
    """, os.path.dirname(__file__))  # fmt: skip
    assert done.stdout == "fine\n", done.stderr


# ---- Results that are kept -------------------------------------------------------------------------------------------


@core
def test_results_outlive_the_cache_of_templates():
    before = len(looking.supervisors())
    kept = [belljar.run(f"open('out', 'w').write('{n}')\ntry: open('/etc/shadow')\nexcept OSError: pass", Policy(timeout=100 + n))
            for n in range(12)]  # fmt: skip
    bare = [belljar.run("6*7", Policy(timeout=200 + n)) for n in range(12)]
    with belljar.Sandbox(Policy(timeout=300)) as sandbox:
        sandbox.run_code("x = 1")
        for n in range(12):
            belljar.run("1", Policy(timeout=400 + n))
        assert sandbox.run_code("open('f', 'w').write('z'); x").value == 1 and sandbox.files["f"] == b"z"
    assert [execution.files["out"] for execution in kept] == [str(n).encode() for n in range(12)]
    assert all(execution.usage.cpu_ms > 0 and execution.violations for execution in kept)
    assert all(execution.usage.cpu_ms > 0 and not execution.files for execution in bare)
    del kept
    assert looking.wait_until(lambda: len(looking.supervisors()) <= before + 9, 10)  # and what nobody keeps goes


# ---- What is the caller's --------------------------------------------------------------------------------------------

FILES = {
    "larger than scratch": ({"policy": {"scratch": "1M"}, "files": {"in.bin": b"x" * 2_000_000}}, "in.bin", "scratch"),
    "too many": ({"policy": {"scratch_files": 10}, "files": {f"in{n}": "x" for n in range(20)}}, "in1", "scratch_files"),
    "outside": ({"files": {"../in": "x"}}, "in", "/work"),
    "elsewhere": ({"files": {"/etc/in": "x"}}, "/etc/in", "/work"),
    "no name": ({"files": {"": "x"}}, "''", "name one"),
    "a folder's name": ({"files": {"data/": "x"}}, "data/", "name one"),
    "a folder": ({"files": {"/tmp": "x"}}, "/tmp", "/work"),
    "file and folder": ({"files": {"a": "1", "a/b": "2"}}, "'a'", "rename"),
    "twice": ({"files": {"a": "1", "./a": "2"}}, "a", "keep one"),
    "NUL": ({"files": {"a\0b": "1"}}, "a", "name one"),
    "no text": ({"files": {"\udcff": "1"}}, "udcff", "rename"),
    "too long a name": ({"files": {"n" * 300: "1"}}, "nnn", "/work"),
    "more than memory": ({"policy": {"memory": "64M", "scratch": "1G"}, "files": {"m": b"x" * 60_000_000}}, "m:", "--memory"),
}
RAN = "open('/work/ran', 'w'); print('the program ran')"


@core
@pytest.mark.parametrize("how", ["run", "arun", "template", "sandbox", "async"])
@pytest.mark.parametrize("case", FILES)
def test_files_that_cannot_be_handed_in_are_the_callers_error(case, how):
    arguments, name, remedy = FILES[case]
    policy, files = Policy(**arguments.get("policy", {})), arguments["files"]

    async def session():
        async with belljar.AsyncSandbox(policy, files=files) as sandbox:
            return await sandbox.run_code(RAN)

    with pytest.raises((belljar.SandboxError, ValueError)) as caught:
        if how == "run":
            belljar.run(RAN, policy, files=files)
        elif how == "arun":
            asyncio.run(belljar.arun(RAN, policy, files=files))
        elif how == "template":
            with belljar.Template(policy) as template:
                template.run(RAN, files=files)
        elif how == "sandbox":
            with belljar.Sandbox(policy, files=files) as sandbox:
                sandbox.run_code(RAN)
        else:
            asyncio.run(session())
    assert name in str(caught.value) and remedy in str(caught.value), caught.value


@core
def test_a_session_whose_files_could_not_be_written_is_over():
    with belljar.Sandbox(Policy(scratch="1M"), files={"in": b"x" * 2_000_000}) as sandbox:
        with pytest.raises(belljar.StartError):
            sandbox.run_code("1")
        with pytest.raises(belljar.SessionEnded, match="files handed in"):
            sandbox.run_code("1")


@core
def test_a_program_cannot_pass_its_error_off_as_the_callers():
    code = """
import _belljar_guest, sys
raise OSError(27, 'the file handed in as /work/a cannot be written', 'a')
"""
    assert belljar.run(code.replace("import _belljar_guest, sys", "")).verdict == "error"
    forged = "import os, struct\np = struct.pack('<III', 1, 1, 16) + struct.pack('<I', 0) * 6\n" \
             "os.write(3, struct.pack('<II', len(p), 2) + p)"  # fmt: skip
    assert belljar.run(forged).verdict in ("error", "violation")
    assert belljar.run("open('a').read()", files={"a": "b", "/tmp/x/y": "z"}).value == "b"  # the twin


# ---- Across processes ------------------------------------------------------------------------------------------------


def fails():
    raise ValueError("seven")


def missing():
    return {}["key"]


def denied():
    raise PermissionError(13, "no", "/x")


def leaves():
    raise SystemExit(3)


def job(kind):
    with belljar.Sandbox() as sandbox:
        if kind == "ended":
            sandbox.run_code("import os; os._exit(1)")
            sandbox.run_code("1")
        sandbox.call({"value": fails, "key": missing, "denied": denied, "exit": leaves}[kind])


def execution():
    code = "open('f', 'wb').write(bytes(9)); display('d'); print('x'); import sys; sys.stderr.write('e')\ntry: open('/etc/shadow')\nexcept OSError: pass\n6 * 7"
    return belljar.run(code)


def in_pool(function, *arguments, how="spawn"):
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=multiprocessing.get_context(how)) as pool:
        return pool.submit(function, *arguments).result(timeout=60)


@pytest.mark.parametrize(("kind", "type_", "name", "value"), [
    ("value", ValueError, "ValueError", "seven"), ("key", KeyError, "KeyError", "'key'"),
    ("denied", PermissionError, "PermissionError", "/x"), ("exit", belljar.GuestError, "SystemExit", "3"),
])  # fmt: skip
def test_errors_of_a_guest_cross_a_process_pool(kind, type_, name, value):
    with pytest.raises(belljar.GuestError) as caught:
        in_pool(job, kind, how="fork")
    error = caught.value
    assert isinstance(error, type_) and error.name == name and value in error.value
    assert name in ("SystemExit",) or name in error.traceback
    assert error.step == "guest" and error.execution is not None and error.execution.verdict in ("error", "violation")
    again = copy.copy(error)
    assert type(again) is type(error) and str(again) == str(error)


def test_the_end_of_a_session_crosses_a_process_pool():
    with pytest.raises(belljar.SessionEnded) as caught:
        in_pool(job, "ended", how="fork")
    assert caught.value.execution.error.name == "SystemExit" and caught.value.step == "session"


@pytest.mark.parametrize("error", [
    belljar.SandboxError("a", "b", 3), belljar.PolicyError("a", "policy", 22), belljar.StartError("a", "files", 7),
    belljar.Timeout("t"), belljar.ProtocolError("p"), belljar.SessionEnded("s"), belljar.GuestError("N", "v", "t"),
    belljar.GuestError("ValueError", "v", "t"),
], ids=lambda error: type(error).__name__)  # fmt: skip
def test_errors_pickle_and_copy(error):
    for made in (pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)):
        assert type(made) is type(error) and str(made) == str(error) and made.__dict__ == error.__dict__


def test_an_execution_crosses_a_process_pool_with_all_that_it_knows():
    for how in ("fork", "spawn"):
        found = in_pool(execution, how=how)
        assert (found.verdict, found.exit, found.stdout, found.stderr, found.value, found.text) == ("ok", 0, "x\n", "e", 42, "42")
        assert [result.text for result in found.results] == ["'d'", "42"]
        assert found.usage.cpu_ms > 0 and found.violations[0].target == "/etc/shadow" and found.refused == 1
        assert dict(found.files) == {"f": bytes(9)} and found.files.open("/work/f").read() == bytes(9) and "g" not in found.files
        assert found.to_json() and pickle.loads(pickle.dumps(found)).files["f"] == bytes(9)
        with pytest.raises(KeyError):
            found.files["g"]


def test_files_that_were_gone_when_an_execution_was_pickled_are_said_to_be(tmp_path):
    template = belljar.Template()
    found = template.run("open('f', 'w').write('1')")
    kept = pickle.loads(pickle.dumps(found))
    assert list(kept.files.collect("*", tmp_path)) == [tmp_path / "f"] and (tmp_path / "f").read_text() == "1"
    template.close()
    gone = pickle.loads(pickle.dumps(found))
    assert gone.value == 1
    with pytest.raises(belljar.SandboxError, match="pickled.*closed"):
        gone.files["f"]


def test_policies_are_plain_data(tmp_path):
    file = tmp_path / "policy.json"
    file.write_text('{"timeout": 3, "read": ["/usr/share"]}')
    for policy in (Policy(), Policy(timeout=3, memory="256M", read=["/usr/share"], feature=["print"]), Policy.from_file(file)):
        for made in (pickle.loads(pickle.dumps(policy)), copy.copy(policy), copy.deepcopy(policy)):
            assert made == policy and hash(made) == hash(policy) and made.options == policy.options and repr(made) == repr(policy)
            assert made.replace(timeout=9) == policy.replace(timeout=9)


# ---- An interpreter that cannot be ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def interpreters():
    """Where the sandbox's user, whoever that is, can look."""
    folder = pathlib.Path(
        subprocess.run(["mktemp", "-d", "/tmp/interpreters-XXXXXX"], capture_output=True, text=True).stdout.strip()
    )
    folder.chmod(0o755)

    def script(name, text, mode=0o755):
        (folder / name).write_text(text)
        (folder / name).chmod(mode)

    script("script", "#!/bin/sh\necho hello\n")
    script("late", "#!/bin/sh\nsleep 0.3; echo hello; exit 3\n")
    script("plain", "#!/bin/sh\n", 0o644)
    script("garbage", "garbage")
    script("line", "#!/nonexistent/python\n")
    script("old", f"#!{sys.executable}\nimport sys, os\nsys.version_info = (3, 9, 1)\nexec(sys.argv[sys.argv.index('-c') + 1])\n")
    (folder / "home").mkdir()
    script("home/python", "#!/bin/sh\n")
    (folder / "link").symlink_to("home/python")
    becomes_another = os.getuid() == 0 and int(looking.status(os.getpid())["CapEff"], 16) != 0
    (folder / "home").chmod(0o700 if becomes_another else 0o600)
    yield folder
    (folder / "home").chmod(0o700)
    subprocess.run(["rm", "-r", str(folder)], check=True)


@core
@pytest.mark.parametrize(("name", "words"), [
    ("missing", ["missing", "No such file"]), (".", ["is a directory"]), ("plain", ["not executable", "644"]),
    ("garbage", ["Exec format error"]), ("line", ["#!"]), ("script", ["did not start", "hello"]), ("late", ["did not start", "hello"]),
    ("link", ["Permission denied", "home is closed", "user"]), ("home/python", ["Permission denied", "home is closed"]),
    ("old", ["Python 3.9.1", "3.11 or later"]),
])  # fmt: skip
def test_why_an_interpreter_does_not_start_is_always_the_same(interpreters, name, words):
    said = set()
    for _ in range(8):
        with pytest.raises(belljar.StartError) as caught:
            belljar.Template(python=str(interpreters / name)).close()
        said.add(str(caught.value))
    assert len(said) == 1, said
    (text,) = said
    assert all(word in text for word in words) and "--python" in text, text
