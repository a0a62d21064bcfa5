"""A session's manners: limits of time that keep it, input that is asked for, environment and folder, options as keywords."""

from __future__ import annotations

import asyncio
import io
import pickle
import re
import threading
import time

import pytest

import belljar
import looking
from belljar import AsyncSandbox, Policy, PolicyError, Sandbox, SandboxConfig, SandboxError, SessionEnded, Template

core = pytest.mark.core
PYTHON = "/usr/bin/python3"
STUBBORN = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)\nwhile True: pass"
POLICIES = {
    "open": lambda **options: Policy(timeout=20, **options),
    "strict": lambda **options: SandboxConfig("stdin", "stdout", timeout=20, **options),
}


# ---- Limits of time ----------------------------------------------------------------------------------------------

OVER = [
    ({"timeout": 0.3}, "while True: pass", "timeout"),
    ({"timeout": 0.3}, "import time; time.sleep(60)", "timeout"),
    ({"timeout": 0.3}, "import re; re.match('(a+)+$', 'a' * 40 + 'b')", "timeout"),
    ({"timeout": 0.3}, "import os; r, w = os.pipe(); os.read(r, 1)", "timeout"),
    ({"cpu": 0.3, "timeout": 20}, "while True: pass", "cpu"),
]


@core
@pytest.mark.parametrize(("limits", "code", "verdict"), OVER, ids=[row[1] for row in OVER])
def test_a_run_over_its_time_is_interrupted_and_the_session_kept(limits, code, verdict):
    with Sandbox(Policy(**limits), python=PYTHON) as sandbox:
        sandbox["kept"] = 42
        over = sandbox.run_code(code)
        assert (over.verdict, over.exit, over.error.name) == (verdict, 124, "TimeoutError")
        assert "the session goes on" in over.error.value and "KeyboardInterrupt" in over.error.traceback
        assert sandbox.run_code("kept").value == 42 and sandbox["kept"] == 42


@core
@pytest.mark.parametrize("limits", [{"timeout": 0.3}, {"cpu": 0.3, "timeout": 20}], ids=str)
def test_what_does_not_yield_is_ended_after_its_grace(limits):
    with Sandbox(Policy(**limits), python=PYTHON) as sandbox:
        over = sandbox.run_code(STUBBORN)
        assert over.verdict == ("cpu" if "cpu" in limits else "timeout")
        with pytest.raises(SessionEnded, match=over.verdict) as caught:
            sandbox.run_code("1")
        assert caught.value.execution is over


def test_who_catches_the_interrupt_and_goes_on_is_ended_as_well():
    code = """
import time
def on():
    while True:
        try:
            time.sleep(60)
        except BaseException:
            pass
on()
"""
    with Sandbox(Policy(timeout=0.3), python=PYTHON) as sandbox:
        assert sandbox.run_code(code).verdict == "timeout"
        with pytest.raises(SessionEnded, match="timeout"):
            sandbox.run_code("1")


def test_what_was_caught_in_time_is_over_the_limit_all_the_same(sandbox):
    execution = sandbox.run_code("import time\ntry: time.sleep(60)\nexcept KeyboardInterrupt: print('caught')", timeout=0.3)
    assert (execution.verdict, execution.stdout) == ("timeout", "caught\n")
    assert sandbox.run_code("6 * 7").value == 42


def test_one_program_is_ended_at_its_limit_as_before(template):
    execution = template.run("try:\n  while True: pass\nexcept KeyboardInterrupt: print('not interrupted')", timeout=0.3)
    assert (execution.verdict, execution.stdout) == ("timeout", "")


@pytest.mark.parametrize("policy", POLICIES)
def test_every_verb_keeps_the_session(policy):
    def forever():
        while True:
            pass

    made = Policy(timeout=0.4) if policy == "open" else SandboxConfig("stdout", timeout=0.4)
    with Sandbox(made, python=PYTHON) as sandbox:
        sandbox["kept"] = 42
        for verb in (lambda: sandbox.call(forever), lambda: sandbox.execute("while True: pass")):
            with pytest.raises(TimeoutError) as caught:  # whichever policy it is
                verb()
            assert isinstance(caught.value, belljar.GuestError if policy == "open" else belljar.Timeout)
        assert [event for event in sandbox.stream("while True: pass")][-1].verdict == "timeout"
        assert sandbox["kept"] == 42


def test_a_stream_that_is_left_keeps_the_session_and_says_so_where_it_cannot(sandbox):
    for _ in sandbox.stream("kept = 42\nprint('x')\nwhile True: pass"):
        break
    assert sandbox["kept"] == 42
    for _ in sandbox.stream(STUBBORN.replace("\n", "\nprint('x')\n")):
        break
    with pytest.raises(SessionEnded, match="interrupted"):
        sandbox.run_code("1")


# ---- Input ---------------------------------------------------------------------------------------------------------


def no_input(make):
    """Every way to read without a stdin: (name, what it came to)."""
    with make() as sandbox:
        sandbox["x"] = 1
        yield "run_code", lambda: sandbox.run_code("input('? ')").error.name
        yield "stream", lambda: [*sandbox.stream("input()")][-1].error.name
        yield "execute", lambda: sandbox.execute("input()")
        yield "call", lambda: sandbox.call(lambda: input())
        with sandbox.fork() as twin:
            yield "fork", lambda: twin.run_code("input()").error.name


@core
@pytest.mark.parametrize("policy", POLICIES)
def test_without_a_stdin_input_is_at_its_end_at_once(policy):
    made = POLICIES[policy]()
    ends = {"run": belljar.run("input('? ')", made, python=PYTHON).error.name,
            "empty": Sandbox(made, python=PYTHON, stdin="").run_code("input()").error.name}  # fmt: skip
    try:
        for name, read in no_input(lambda: Sandbox(made, python=PYTHON)):
            try:
                ends[name] = read()
            except EOFError:
                ends[name] = "EOFError"
    except SandboxError as error:
        if error.step != "fork":
            raise
    assert set(ends.values()) == {"EOFError"}, ends


@core
@pytest.mark.parametrize("policy", POLICIES)
def test_a_function_gets_the_prompt_and_answers(policy):
    asked: list[str] = []

    def answer(prompt):
        asked.append(prompt)
        return None if prompt == "end" else f"<{len(asked)}>"

    made = POLICIES[policy]()
    once = belljar.run("a = input('name? ')\nb = input()\na, b", made, python=PYTHON, stdin=answer)
    assert (once.value, once.stdout, asked) == (("<1>", "<2>"), "name? ", ["name? ", ""])
    with Sandbox(made, python=PYTHON, stdin=answer) as sandbox:
        sandbox["x"] = 1
        assert sandbox.run_code("input('a')").value == "<3>"
        assert sandbox.run_code("input('b')").value == "<4>"
        assert sandbox.run_code("input('end')").error.name == "EOFError"
    assert asked[2:] == ["a", "b", "end"]


STDINS = [
    ("text", "one\ntwo\n", ["one", "two"]),
    ("bytes", b"one\ntwo\n", ["one", "two"]),
    ("list", ["one", "two\n"], ["one", "two"]),
    ("generator", (text for text in ("one", "two")), ["one", "two"]),
    ("file in memory", io.StringIO("one\ntwo\n"), ["one", "two"]),
    ("function", lambda prompt: "one" if prompt else None, ["one"]),
]
READ = "read = []\ntry:\n  while True: read.append(input('?' if not read or len(read) < 2 and many else ''))\nexcept EOFError: pass\nread"


@pytest.mark.parametrize(("name", "stdin", "read"), STDINS, ids=[row[0] for row in STDINS])
def test_stdin_may_be(template, name, stdin, read):
    assert template.run(f"many = {len(read) > 1}\n{READ}", stdin=stdin).value == read


def test_lines_are_taken_when_they_are_read_and_not_before(template):
    taken: list[int] = []

    def lines():
        for number in range(100):
            taken.append(number)
            yield str(number)

    with template.sandbox(stdin=lines()) as sandbox:
        assert sandbox.run_code("input()").value == "0" and taken == [0]
        assert sandbox.run_code("import sys; sys.stdin.readline()").value == "1\n" and taken == [0, 1]


def test_a_function_that_fails_is_an_error_where_it_is_asked(template):
    def fails(prompt):
        raise ValueError("nobody is here")

    assert template.run("input()", stdin=fails).error.value == "nobody is here"
    assert "int 3" in template.run("input()", stdin=lambda prompt: 3).error.value


def test_a_coroutine_may_answer(template):
    async def answer(prompt):
        await asyncio.sleep(0)
        return prompt.upper()

    async def main():
        async with AsyncSandbox(template=template, stdin=answer) as sandbox:
            return (await sandbox.run_code("input('later')")).value

    assert asyncio.run(main()) == "LATER"


# ---- Environment and working directory ------------------------------------------------------------------------------

LOOK = "import os; (os.environ.get('A'), os.environ.get('B'), os.getcwd())"


@core
def test_environment_and_folder_of_a_policy_a_sandbox_and_a_run():
    policy = Policy(timeout=20, env={"A": "policy", "B": "policy"}, cwd="/work/made")
    assert belljar.run(LOOK, policy, python=PYTHON).value == ("policy", "policy", "/work/made")
    assert belljar.run(LOOK, policy, python=PYTHON, envs={"A": "run"}, cwd="/tmp").value == ("run", "policy", "/tmp")
    with Sandbox(policy, python=PYTHON, env={"A": "sandbox"}) as sandbox:
        own = ("sandbox", "policy", "/work/made")
        assert sandbox.run_code(LOOK).value == own
        assert sandbox.run_code(LOOK, env={"B": "run"}, cwd="/tmp").value == ("sandbox", "run", "/tmp")
        assert sandbox.run_code(LOOK).value == own
        sandbox.run_code("1 / 0", env={"B": "run"}, cwd="/tmp")
        assert sandbox.run_code(LOOK).value == own
        sandbox.run_code("os.environ['B'] = 'its own'; os.chdir('/tmp')")
        assert sandbox.run_code(LOOK).value == ("sandbox", "its own", "/tmp")
        assert [*sandbox.stream(LOOK, envs={"A": "stream"})][-1].value == ("stream", "its own", "/tmp")


def test_one_template_serves_policies_that_differ_in_it_alone():
    first, second = (belljar.Sandbox(Policy(timeout=21, env={"A": text}), python=PYTHON) for text in "12")
    assert first._session.pool is second._session.pool
    assert first.run_code(LOOK).value[0] + second.run_code(LOOK).value[0] == "12"
    assert first.policy != second.policy and first.policy.options["env"] == {"A": "1"}


def test_a_policy_with_them_is_written_and_read_back(tmp_path):
    policy = Policy(env={"A": "1"}, cwd="/tmp", timeout=3)
    (tmp_path / "policy.json").write_text(policy.to_json())
    assert Policy.from_file(tmp_path / "policy.json") == policy != Policy(timeout=3)
    assert policy.replace(envs={"B": "2"}) == Policy(timeout=3, cwd="/tmp", env={"B": "2"})


def test_a_folder_that_cannot_be_is_the_runs_error_and_the_session_stays(sandbox):
    assert "cwd='/etc/none'" in sandbox.run_code("1", cwd="/etc/none").error.value
    assert sandbox.run_code("6 * 7").value == 42


def test_modules_are_found_where_a_run_starts():
    look = "import sys, nearby; [nearby.NAME, sys.path[0]]"
    files = {"/work/made/nearby.py": "NAME = 'made'"}
    assert belljar.run(look, cwd="/work/made", files=files, python=PYTHON).value == ["made", "/work/made"]
    with Sandbox(cwd="/work/made", python=PYTHON) as sandbox:
        sandbox.files.write("/work/made/nearby.py", "NAME = 'made'")
        assert sandbox.run_code(look).value == ["made", "/work/made"]
    with Sandbox(python=PYTHON) as sandbox:
        sandbox.files.write("/work/made/nearby.py", "NAME = 'made'")
        assert sandbox.run_code(look).error.name == "ModuleNotFoundError"
        assert sandbox.run_code(look, cwd="/work/made").value == ["made", "/work/made"]
        assert sandbox.run_code("sys.path[0]").value == "/work"


def test_a_session_keeps_its_path_of_modules():
    with Sandbox(python=PYTHON) as sandbox:
        sandbox.files.write("/work/lib/nearby.py", "NAME = 'lib'")
        sandbox.run_code("import sys; sys.path.insert(1, '/work/lib'); sys.path.append('/tmp')")
        assert sandbox.run_code("import nearby; [nearby.NAME, sys.path[0], sys.path[-1]]").value == ["lib", "/work", "/tmp"]
        assert sandbox.run_code("1 + 1").value == 2 and sandbox.run_code("sys.path[:2]").value == ["/work", "/work/lib"]
        sandbox.run_code("sys.path = None")
        assert sandbox.run_code("import colorsys; sys.path[0]").value == "/work"
    with belljar.Template(python=PYTHON) as template:
        assert (
            template.run("import sys; sys.path.append('/tmp')").ok and template.run("import sys; '/tmp' in sys.path").value is False
        )


WRONG = [
    (lambda: belljar.run("1", env={"A": 1}), TypeError, "write str"),
    (lambda: belljar.run("1", env=["A=1"]), TypeError, "a mapping"),
    (lambda: belljar.run("1", env={"A=": "1"}), ValueError, "without ="),
    (lambda: belljar.run("1", env={}, envs={}), TypeError, "give one"),
    (lambda: belljar.run("1", cwd=3), TypeError, "cwd: the path of a folder"),
    (lambda: Sandbox(timeout="3"), PolicyError, r'timeout: a number of seconds .* not the text "3"'),
    (lambda: belljar.run("1", timeout="3"), TypeError, "timeout: .* not str '3'"),
    (lambda: Policy(memory="1M"), PolicyError, 'between 32 MiB and 16 TiB .* not the text "1M"'),
    (lambda: Sandbox(memory="16T"), SandboxError, r"16 TiB is more than this machine has \([\d.]+ .iB"),
    (lambda: Sandbox(gpu=True), TypeError, "no argument gpu=: there is no GPU in a guest"),
    (lambda: belljar.run("1", network=True), PolicyError, 'network: "self" .* is expected, not true'),
    (lambda: Sandbox(t=5), TypeError, "the time limit is --timeout"),
    (lambda: Sandbox(metadata={}), TypeError, "metadata=: a sandbox is an object of this program's"),
    (lambda: Sandbox(python="/bin/ls"), SandboxError, "/bin/ls did not start as a CPython 3.11 or later[^;]{0,60}: choose another"),
    (lambda: Sandbox(timout=3), TypeError, "did you mean timeout="),
    (lambda: belljar.run("1", memry="1G"), TypeError, "did you mean memory="),
]


@pytest.mark.parametrize(("call", "kind", "words"), WRONG, ids=[row[2] for row in WRONG])
def test_what_is_wrong_is_said(call, kind, words):
    with pytest.raises(kind, match=words):
        call()


ELSEWHERE = [
    (Sandbox, "pause", "sandbox.freeze()"),
    (Sandbox, "create_code_context", "sandbox.context(name)"),
    (Sandbox, "commands", "starts no other program"),
    (Sandbox, "set_timeout", "timeout=seconds"),
    (AsyncSandbox, "pause", "await AsyncSandbox.freeze()"),
    (AsyncSandbox, "create_code_context", "write AsyncSandbox.context(name)"),
    (belljar.Execution, "exit_code", "execution.exit"),
    (belljar.Execution, "output", "execution.stdout"),
    (belljar.SessionFiles, "read", "files[name]"),
    (belljar.SessionFiles, "remove", "del files[name]"),
]


@pytest.mark.parametrize(("kind", "name", "remedy"), ELSEWHERE, ids=[f"{row[0].__name__}.{row[1]}" for row in ELSEWHERE])
def test_what_is_called_otherwise_elsewhere_is_said(kind, name, remedy):
    with pytest.raises(AttributeError, match=f"no attribute '{name}': write .*{re.escape(remedy.removeprefix('write '))}"):
        getattr(object.__new__(kind), name)
    with pytest.raises(AttributeError, match="no attribute 'whatever'$"):
        getattr(object.__new__(kind), "whatever")


@core
def test_what_is_written_instead_is_there(sandbox):
    """The remedies name verbs that there are."""
    from belljar._instead import others_of

    for maker, face in (("sandbox", sandbox), ("AsyncSandbox", AsyncSandbox)):
        for name, remedy in others_of(maker).items():
            assert not hasattr(face, name), name
            for verb in re.findall(rf"{maker}\.(\w+)", remedy):
                assert hasattr(face, verb), (name, remedy)


def test_a_folder_of_the_host_is_handed_in_with_what_lies_below_it(template, tmp_path):
    (tmp_path / "in/deep").mkdir(parents=True)
    (tmp_path / "in/a.txt").write_text("a")
    (tmp_path / "in/deep/b.txt").write_text("b")
    (tmp_path / "in/link").symlink_to("/etc/hostname")
    look = "import os; sorted(os.path.join(w, n) for w, _, names in os.walk('d') for n in names)"
    assert template.run(look, files={"d": tmp_path / "in"}).value == ["d/a.txt", "d/deep/b.txt"]
    with template.sandbox() as sandbox:
        sandbox.files["d"] = tmp_path / "in"
        assert sandbox.run_code(look).value == ["d/a.txt", "d/deep/b.txt"] and sandbox.files["d/deep/b.txt"] == b"b"


# ---- Options as keywords -------------------------------------------------------------------------------------------


@core
def test_a_policys_options_are_keywords_wherever_a_policy_is():
    assert belljar.run("6 * 7", memory="100M", python=PYTHON).value == 42
    for made in (
        Sandbox(timeout=3, memory="100M", python=PYTHON),
        Sandbox.create(Policy(timeout=9), timeout=3, memory="100M", python=PYTHON),
    ):
        with made as sandbox:
            assert (sandbox.policy.options["timeout"], sandbox.policy.options["memory"]) == (3, 100 << 20)
            assert sandbox.run_code("6 * 7").value == 42
    with Template(memory="100M", env={"A": "1"}, python=PYTHON) as template:
        assert template.policy.options["memory"] == 100 << 20 and template.run(LOOK).value[0] == "1"
        assert template.sandbox().run_code(LOOK).value[0] == "1"

    async def main():
        made = await AsyncSandbox.create(timeout=3, envs={"A": "2"}, python=PYTHON)
        async with made:
            assert made.policy.options["timeout"] == 3
            return (await made.run_code(LOOK)).value[0], (
                await belljar.arun(LOOK, memory="100M", env={"A": "3"}, python=PYTHON)
            ).value[0]

    assert asyncio.run(main()) == ("2", "3")


def test_they_change_what_a_config_came_to():
    with Sandbox(SandboxConfig("stdout"), memory="100M", python=PYTHON) as sandbox:
        assert sandbox.policy.options["memory"] == 100 << 20
        assert sandbox.run_code("import os").error is not None


def test_a_template_comes_with_its_own(template):
    with pytest.raises(SandboxError, match="give either it or memory="):
        Sandbox(template=template, memory="100M")
    assert Sandbox(template=template, env={"A": "1"}).run_code(LOOK).value[0] == "1"


# ---- What a run came to, and what it uses -----------------------------------------------------------------------------


@core
def test_an_execution_is_true_if_it_is_ok_and_raises_what_it_came_to(sandbox, template):
    good, bad, left = sandbox.run_code("1"), sandbox.run_code("1 / 0"), template.run("raise SystemExit(3)")
    assert good and good.ok and good.raise_for_error() is good
    assert not bad and not bad.ok and not left
    with pytest.raises(ZeroDivisionError, match="division by zero") as caught:
        bad.raise_for_error()
    assert isinstance(caught.value, belljar.GuestError) and caught.value.execution is bad
    with pytest.raises(belljar.GuestError, match="SystemExit: 3"):
        left.raise_for_error()
    with pytest.raises(TimeoutError):
        sandbox.run_code("while True: pass", timeout=0.2).raise_for_error()


@pytest.mark.parametrize("code", ["open('made.txt', 'w').write('x'); print('out'); 42", "1 / 0", "open('/etc/shadow')"])
def test_an_execution_can_be_pickled(sandbox, template, code):
    for made in (sandbox.run_code(code), template.run(code)):
        copy = pickle.loads(pickle.dumps(made))
        for name in ("verdict", "stdout", "value", "error", "usage", "violations", "ok", "execution_count"):
            assert getattr(copy, name) == getattr(made, name)
        assert [*copy.files] == [*made.files]


def in_thread(call):
    """Begins a call in a thread; a function that waits for what it returns."""
    found = []
    thread = threading.Thread(target=lambda: found.append(call()))
    thread.start()

    def result():
        thread.join(60)
        return found[0]

    return result


def begun(sandbox, code, **keywords):
    """Runs code in a thread; returns when it has printed something."""
    has_begun = threading.Event()
    wait = in_thread(lambda: sandbox.run_code("print('begun')\n" + code, on_stdout=lambda text: has_begun.set(), **keywords))
    assert has_begun.wait(60)
    return wait


@core
def test_usage_is_told_while_it_runs(sandbox):
    assert sandbox.usage().wall_ms == 0
    wait = begun(sandbox, "held = bytearray(64 << 20)\nwhile True: pass")
    assert looking.wait_until(lambda: sandbox.usage().peak_bytes > 64 << 20 and sandbox.usage().cpu_ms > 50, 30)
    sandbox.interrupt()
    execution = wait()
    assert execution.error.name == "KeyboardInterrupt" and execution.usage.cpu_ms > 50
    assert sandbox.usage().wall_ms == pytest.approx(execution.usage.wall_ms, abs=1)


@core
def test_a_frozen_session_uses_no_cpu_and_its_time_stands(sandbox):
    wait = begun(sandbox, "import time\nend = time.process_time() + 0.5\nwhile time.process_time() < end: pass\n'done'", timeout=5)
    sandbox.freeze()
    sandbox.freeze()
    before = sandbox.usage()
    time.sleep(0.5)
    after = sandbox.usage()
    assert after.cpu_ms - before.cpu_ms < 5 and after.wall_ms == before.wall_ms
    sandbox.thaw()
    assert wait().value == "done"


@core
def test_the_time_limit_does_not_pass_while_a_session_is_frozen_and_does_afterwards(sandbox):
    wait = begun(sandbox, "while True: pass", timeout=0.5)
    sandbox.freeze()
    time.sleep(1.6)  # more than limit, grace, and what the host allows beyond both
    assert sandbox.usage().wall_ms < 1000
    sandbox.thaw()
    assert wait().verdict == "timeout" and sandbox.run_code("6 * 7").value == 42


def test_a_frozen_session_runs_nothing_and_can_be_closed(template):
    sandbox = template.sandbox()
    sandbox.run_code("kept = 42")
    sandbox.freeze()
    for verb in (lambda: sandbox.run_code("1"), lambda: sandbox["kept"], lambda: sandbox.fork(), lambda: sandbox.expose(len)):
        with pytest.raises(SandboxError, match="thaw"):
            verb()
    sandbox.thaw()
    assert sandbox["kept"] == 42
    sandbox.freeze()
    sandbox.close()
    for verb in (sandbox.thaw, sandbox.usage):
        with pytest.raises(SessionEnded, match="closed"):
            verb()
