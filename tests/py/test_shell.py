"""`belljar shell`: the interpreter inside the jar, as a user at a terminal sees it, and as a pipe does."""

import json
import os
import pathlib
import re
import select
import signal
import stat
import subprocess
import tempfile
import time

import pytest

BUILD = pathlib.Path(os.environ.get("BELLJAR_BUILD", pathlib.Path(__file__).resolve().parents[2] / "build"))
COMMAND = str(BUILD / "belljar")

PROMPT = b"\n>>> "  # in a line of its own: a line that is drawn again begins with a carriage return

core = pytest.mark.core


def shell(text, *options):
    """What it makes of piped statements."""
    text = text if isinstance(text, bytes) else text.encode()
    return subprocess.run([COMMAND, "shell", "--quiet", *options], input=text, capture_output=True, timeout=60)


class Terminal:
    """The shell on a terminal of ours."""

    def __init__(self, *options, state, kind="xterm", locale="C.UTF-8"):
        environment = {**os.environ, "TERM": kind, "XDG_STATE_HOME": str(state), "LC_ALL": locale}
        self.child, self.fd = os.forkpty()
        if self.child == 0:
            try:
                os.execve(COMMAND, [COMMAND, "shell", *options], environment)
            finally:
                os._exit(127)  # not a second run of these tests
        self.seen = b""

    def until(self, wanted, seconds=30):
        """Reads until `wanted` has come. What was read, with it; later calls look at what follows."""
        end = time.monotonic() + seconds
        while wanted not in self.seen:
            assert time.monotonic() < end, self.seen
            if select.select([self.fd], [], [], 0.2)[0]:
                try:
                    self.seen += os.read(self.fd, 65536)
                except OSError:
                    break
        before, found, self.seen = self.seen.partition(wanted)
        assert found, before
        return before + found

    def prompt(self):
        """Up to the next prompt that awaits a key: it is the last thing that is there."""
        return self.until(PROMPT)

    def type(self, keys):
        os.write(self.fd, keys.encode() if isinstance(keys, str) else keys)

    def say(self, line):
        """Types a line. What is answered to it, without the echo."""
        self.type(line + "\r")
        answer = self.prompt()
        return answer.removesuffix(PROMPT[1:]).partition(b"\n")[2]

    def close(self):
        os.close(self.fd)
        os.kill(self.child, signal.SIGKILL)
        os.waitpid(self.child, 0)

    def wait(self):
        """How it left."""
        end = time.monotonic() + 30
        while time.monotonic() < end:
            if select.select([self.fd], [], [], 0.1)[0]:
                try:
                    os.read(self.fd, 65536)
                except OSError:
                    pass
            child, status = os.waitpid(self.child, os.WNOHANG)
            if child:
                os.close(self.fd)
                return os.waitstatus_to_exitcode(status)
        raise AssertionError("it does not leave")


@pytest.fixture
def terminal(tmp_path):
    opened = []

    def start(*options, **environment):
        opened.append(Terminal(*options, state=tmp_path, **environment))
        opened[-1].until(PROMPT[1:])
        return opened[-1]

    yield start
    for one in opened:
        try:
            one.close()
        except OSError:
            pass  # it has left


@pytest.fixture
def folder():
    """A directory that the user of the sandbox can reach."""
    with tempfile.TemporaryDirectory() as path:
        os.chmod(path, 0o755)
        yield pathlib.Path(path)


# ---- Without a terminal -----------------------------------------------------------------------------------------


@core
def test_piped_statements_run_as_in_python():
    done = shell("x = 6\nx * 7\n_ + 1\nfor i in range(2):\n    print('i', i)\n\nprint('end')\n")
    assert done.stdout == b"42\n43\ni 0\ni 1\nend\n"
    assert (done.returncode, done.stderr) == (0, b"")


def test_a_statement_that_the_input_ends_in_runs():
    assert shell("if 1:\n    print('ran')").stdout == b"ran\n"


def test_a_statement_that_cannot_end_is_a_syntax_error():
    assert b"SyntaxError" in shell("print((1,").stderr
    wrong = shell("importt os\nprint(6 * 7)\n")
    assert b"SyntaxError: invalid syntax" in wrong.stderr and b"During handling" not in wrong.stderr and wrong.stdout == b"42\n"


def test_an_exception_shows_its_line_and_the_session_goes_on():
    done = shell("def f():\n    return 1/0\n\nf()\nprint('still here')\n")
    assert done.stdout == b"still here\n"
    assert b'File "<stdin-1>", line 2, in f\n    return 1/0' in done.stderr
    assert b"ZeroDivisionError" in done.stderr and b"<host>" not in done.stderr and b"<belljar>" not in done.stderr


@core
@pytest.mark.parametrize(("text", "status"), [("exit()\n1\n", 0), ("quit(3)\n1\n", 3), ("raise SystemExit('no')\n1\n", 1)])
def test_exit_leaves_with_its_status(text, status):
    done = shell(text)
    assert (done.returncode, done.stdout) == (status, b"")


@pytest.mark.parametrize("options", ([], ["--feature", "stdin,stdout"], ["--feature", "stdin"]))
def test_input_reads_the_line_after_the_statement(options):
    done = shell("name = input('who? ')\nBob\nname\ninput()\n", *options)
    assert done.stdout == b"who? 'Bob'\n"
    assert b"EOFError" in done.stderr


STUBBORN = "import signal; _ = signal.signal(signal.SIGINT, signal.SIG_IGN)\n"


def test_a_statement_over_the_time_limit_is_interrupted_and_the_session_kept():
    done = shell("kept = 42\nwhile 1: pass\n\nkept\n", "--timeout", "0.5")
    assert (done.returncode, done.stdout) == (0, b"42\n")
    assert b"time limit of 0.5 s reached: the code was interrupted, the session goes on" in done.stderr


@pytest.mark.parametrize(
    ("options", "text", "status", "reason"),
    [
        (["--timeout", "0.5"], STUBBORN + "while 1: pass\n\n", 124, b"time limit of 0.5 s"),
        ([], "import os; os._exit(4)\n", 4, b"ended (status 4)"),
        ([], "import ctypes; ctypes.string_at(0)\n", 139, b"signal 11"),
    ],
)
def test_the_death_of_the_session_is_told_with_its_cause(options, text, status, reason):
    done = shell(text + "print('not here')\n", *options)
    assert (done.returncode, done.stdout) == (status, b"")
    assert b"the session is over" in done.stderr and reason in done.stderr


def test_each_statement_has_the_whole_time_limit():
    done = shell("import time\n" + "time.sleep(0.4)\n" * 4 + "print('ran')\n", "--timeout", "1")
    assert done.stdout == b"ran\n"


def test_a_memory_error_does_not_end_the_session():
    done = shell("x = bytearray(10**9)\nprint('still here')\n", "--memory", "128M")
    assert b"MemoryError" in done.stderr
    assert done.stdout == b"still here\n"


def test_the_policy_is_shown_at_the_start_unless_quiet(folder):
    wanted = subprocess.run([COMMAND, "shell", "--read", folder, "--timeout", "7"], input=b"", capture_output=True, timeout=60)
    assert b"policy: open" in wanted.stderr and b"timeout 7" in wanted.stderr and str(folder).encode() in wanted.stderr
    assert shell("").stderr == b""


def test_only_granted_files_are_there(folder):
    (folder / "a.txt").write_text("granted")
    path = str(folder / "a.txt")
    assert shell(f"open({path!r}).read()\n", "--read", path).stdout == b"'granted'\n"
    assert b"FileNotFoundError" in shell(f"open({path!r}).read()\n").stderr


# ---- The language policy ------------------------------------------------------------------------------------------


def test_a_language_policy_holds_for_each_statement(tmp_path):
    policy = tmp_path / "policy.json"
    policy.write_text(json.dumps({"language": {"enable": ["math", "exit"]}}))
    text = "import math\nmath.floor(2.5)\n_ + 1\ndef f():\n    return 1\n\nf()\nimport os\nf.__globals__\nx = )\n'last'\nexit(3)\n"
    done = shell(text, "--policy", str(policy))
    assert done.stdout == b"2\n3\n1\n'last'\n"
    assert b'Import "os" blocked by the sandbox' in done.stderr
    assert b"AttributeError" in done.stderr and b"SyntaxError" in done.stderr
    assert done.returncode == 3


@pytest.mark.parametrize("options", [[], ["--feature", "math"]])
def test_the_profile_without_files_has_a_shell_too(options):
    done = shell("import math\nmath.floor(2.5)\n", "--profile", "compute", *options)
    assert (done.stdout, done.stderr) == (b"2\n", b"")


def test_features_of_the_command_line_are_the_policy():
    done = subprocess.run([COMMAND, "shell", "--feature", "math"], input=b"import os\n", capture_output=True, timeout=60)
    assert b"policy: deny by default" in done.stderr and b"features: math" in done.stderr
    assert b'Import "os" blocked by the sandbox' in done.stderr


# ---- What a terminal would obey -----------------------------------------------------------------------------------

HOSTILE = {
    "an escape": ("'\\x1b]0;title\\x07'", rb"\x1b]0;title\x07"),
    "C1 as UTF-8": ("'\\x9b31m'", rb"\x9b31m"),
    "carriage return": ("'safe\\rrm'", rb"safe\x0drm"),
    "backspace and DEL": ("'a\\x08b\\x7f'", rb"a\x08b\x7f"),
    "direction override": ("'\\u202eabc\\u2066'", rb"\u202eabc\u2066"),
    "tags": ("'\\U000e0041'", rb"\U000e0041"),
    "NUL": ("'a\\0b'", rb"a\x00b"),
    "letters": ("'é語🙂\\tx'", "é語🙂\tx".encode()),
}


@core
@pytest.mark.parametrize("stream", ["stdout", "stderr"])
@pytest.mark.parametrize("name", HOSTILE)
def test_what_a_terminal_would_obey_is_shown(name, stream):
    text, shown = HOSTILE[name]
    done = shell(f"import sys; n = sys.{stream}.write({text} + '\\n')\n")
    assert getattr(done, stream) == shown + b"\n"


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("b'\\x9b31m'", rb"\x9b31m"),
        ("b'\\xc2'", rb"\xc2"),
        ("b'\\xe2\\x80', b'\\xae'", rb"\u202e"),
        ("b'\\xc0\\x9b'", rb"\xc0\x9b"),
        ("b'\\xf0\\x80\\x80\\x9b'", rb"\xf0\x80\x80\x9b"),
        ("b'\\xc3', b'\\xa9'", "é".encode()),
        ("b'\\xe2\\x1b[1m'", rb"\xe2\x1b[1m"),
    ],
)
def test_bytes_in_pieces_that_are_no_text_are_shown(written, shown):
    done = shell(f"import os, time\nfor part in ({written},):\n  n = os.write(1, part); time.sleep(0.05)\n\n")
    assert done.stdout == shown


def test_representations_and_tracebacks_are_filtered_as_well():
    text = (
        "class A:\n  def __repr__(self): return '\\x1b[2J'\n\nA()\n"
        "raise ValueError('\\x1b[2J')\n"
        "raise type('\\x1bX', (Exception,), {})\n"
        "import sys\nsys.displayhook = lambda v: print('\\x1bhook')\n1\n"
    )
    done = shell(text)
    assert b"\x1b" not in done.stdout + done.stderr
    assert (done.stdout + done.stderr).count(rb"\x1b") >= 4


def test_raw_passes_everything_on():
    assert shell("print('\\x1b[1m')\n", "--raw").stdout == b"\x1b[1m\n"


# ---- On a terminal ------------------------------------------------------------------------------------------------


@core
def test_a_terminal_gets_prompts_values_and_several_lines(terminal):
    one = terminal("--quiet")
    assert one.say("6 * 7") == b"42\r\n"
    one.type("for i in range(2):\r")
    one.until(b"\n... ")
    one.type("  print('i', i)\r\r")
    assert b"i 0\r\ni 1\r\n" in one.prompt()
    one.type("\x04")
    assert one.wait() == 0


def test_a_line_that_was_not_ended_stays_before_the_prompt(terminal):
    assert terminal("--quiet").say("print('x', end='')") == b"x\r\n"


def test_keys_edit_the_line(terminal):
    one = terminal("--quiet")
    # left, left, backspace, home, end, delete to the end, to the start
    assert one.say("'abxc'\x1b[D\x1b[D\x7f") == b"'abc'\r\n"
    assert one.say("2'\x01'1\x05\x1b[Hx\x7f") == b"'12'\r\n"
    assert one.say("junk\x15'é語'\x1b[D\x7f\x1b[C") == b"'\xc3\xa9'\r\n"
    assert one.say("1 + 2 + word\x17\x7f\x7f\x7f") == b"3\r\n"


def test_the_history_is_kept_for_the_next_shell_and_only_for_the_user(terminal, tmp_path):
    one = terminal("--quiet")
    one.say("'first'")
    one.say("'second'")
    assert one.say("\x1b[A\x1b[A") == b"'first'\r\n"
    one.type("\x04")
    assert one.wait() == 0
    path = tmp_path / "belljar" / "history"
    assert path.read_text().splitlines() == ["'first'", "'second'", "'first'"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    two = terminal("--quiet")
    assert two.say("\x1b[A\x1b[A") == b"'second'\r\n"


def test_a_guest_cannot_read_the_history(terminal, tmp_path):
    one = terminal("--quiet")
    assert b"FileNotFoundError" in one.say(f"open('{tmp_path}/belljar/history')")


def test_ctrl_c_interrupts_a_statement_and_keeps_the_session(terminal):
    one = terminal("--quiet")
    one.say("kept = 'kept'")
    one.type("import time; print('be' + 'gun'); time.sleep(60)\r")
    one.until(b"begun\r\n")
    one.type("\x03")
    assert b"KeyboardInterrupt" in one.prompt()
    assert one.say("kept") == b"'kept'\r\n"


def test_ctrl_c_at_the_prompt_drops_the_line(terminal):
    one = terminal("--quiet")
    one.type("def f(\x03")
    assert b"KeyboardInterrupt" in one.prompt()
    assert one.say("1") == b"1\r\n"


def test_a_statement_that_ignores_ctrl_c_is_ended_by_the_third(terminal):
    one = terminal("--quiet")
    one.say("kept = 1")
    one.type("while 1:\r")
    one.until(b"\n... ")
    one.type("  try:\r    print('ro' + 'und'); import time; time.sleep(60)\r  except BaseException: pass\r\r")
    for _ in range(3):
        one.until(b"round\r\n")
        one.type("\x03")
    assert b"did not stop at Ctrl-C" in one.prompt()
    assert b"NameError" in one.say("kept")  # a fresh guest


def test_a_new_session_follows_one_that_died(terminal):
    one = terminal("--quiet", "--timeout", "1")
    one.say(STUBBORN.strip())
    answer = one.say("while 1: pass\r")
    assert b"time limit of 1 s" in answer and b"a new one" in answer
    assert one.say("1 + 1") == b"2\r\n"


def test_input_is_a_line_of_the_terminal(terminal):
    one = terminal("--quiet")
    one.type("x = input('who? ')\r")
    one.until(b"\nwho? ")
    one.type("Bxob\x1b[D\x1b[D\x7f\r")
    one.prompt()
    assert one.say("x") == b"'Bob'\r\n"
    one.type("input('again? ')\r")
    one.until(b"\nagain? ")
    one.type("\x03")
    assert b"KeyboardInterrupt" in one.prompt()
    assert one.say("x") == b"'Bob'\r\n"


def test_tab_completes_from_the_guest(terminal):
    one = terminal("--quiet")
    one.say("import math; some_name = 'value'")
    assert one.say("some_n\t") == b"'value'\r\n"
    assert one.say("math.floo\t(2.5)") == b"2\r\n"
    one.type("math.is\t")
    assert b"math.isclose\r\nmath.isfinite" in one.until(b"math.isqrt")
    one.type("\x15\x04")
    assert one.wait() == 0


def test_hostile_completions_do_no_harm(terminal):
    one = terminal("--quiet")
    one.say("class A: __dir__ = lambda self: ['\\x1b[2J', '\\x1b]0;x\\x07']\r")
    one.say("a = A(); globals()['zz\\x1b[31m'] = globals()['zz\\x9b2'] = globals()['zzb'] = 1")
    one.type("a.\t")
    seen = one.until(rb"\x1b")  # what both begin with, after the filter
    one.type("\x15zz\t")
    seen += one.until(rb"zz\x9b2") + one.say("\x15'o' + 'k'")
    assert b"ok" in seen and rb"zz\x1b[31m" in seen
    ours = re.sub(rb"\x1b\[(K|\d+[CG])", b"", seen)
    assert b"\x1b" not in ours and b"\x9b" not in ours and b"\x07" not in ours


def test_a_completion_that_hangs_is_stopped_and_keeps_the_session(terminal):
    one = terminal("--quiet")
    one.say("class A:\r  def __dir__(self):\r    while 1: pass\r")
    one.say("a = A()")
    one.type("a.x\t")
    time.sleep(2)
    assert one.say("\x15'still here'") == b"'still here'\r\n"


def test_hostile_output_reaches_a_terminal_as_text(terminal):
    one = terminal("--quiet")
    answer = one.say("print('\\x1b[2J\\x1b]0;owned\\x07\\x9bc\\r\\u202e'); '\\x1b'")
    assert answer == rb"\x1b[2J\x1b]0;owned\x07\x9bc\x0d\u202e" + b"\r\n" + rb"'\x1b'" + b"\r\n"
    answer = one.say("raise ValueError('\\x1b[2J')")
    assert b"\x1b" not in answer and rb"\x1b[2J" in answer


def test_the_terminal_is_as_before_when_it_leaves(terminal):
    import termios

    one = terminal("--quiet")
    raw = termios.tcgetattr(one.fd)[3]
    one.type("import time; print('be' + 'gun'); time.sleep(60)\r")
    one.until(b"begun")
    cooked = termios.tcgetattr(one.fd)[3]
    assert not raw & termios.ICANON and cooked & termios.ICANON and cooked & termios.ECHO and cooked & termios.ISIG


def test_pasted_lines_run_one_after_the_other(terminal):
    one = terminal("--quiet")
    one.type("".join(f"print('{i}' + 'é')\r" for i in range(50)) + "for i in range(2):\r  print('lo' + 'op')\r\r")
    seen = one.until("loop\r\nloop\r\n".encode())
    assert [seen.count(f"\n{i}é\r\n".encode()) for i in range(50)] == [1] * 50


def test_the_history_is_searched(terminal):
    one = terminal("--quiet")
    one.say("'needle' + '!'")
    one.say("'other'")
    assert b"'needle!'" in one.say("\x12need\r")


@pytest.mark.parametrize("locale", ["C", "POSIX", ""])
def test_letters_beyond_ascii_are_edited_in_any_locale(terminal, locale):
    one = terminal("--quiet", locale=locale)
    assert one.say("'é語x\x7f'") == "'é語'\r\n".encode()


def test_a_terminal_that_cannot_be_edited_on_still_has_prompts(terminal):
    """The shell of a machine without libedit."""
    one = terminal("--quiet", "--timeout", "1", kind="dumb")
    assert one.say("6 * 7") == b"42\r\n"
    one.type("if 1:\r")
    one.until(b"\n... ")
    assert b"ran\r\n" in one.say("  print('ran')\r")
    one.type("x = input('who? ')\r")
    one.until(b"\nwho? ")
    assert one.say("Bob") == b"" and one.say("x") == b"'Bob'\r\n"
    one.type("def f(\x03")
    assert b"KeyboardInterrupt" in one.prompt()
    assert b"the session goes on" in one.say("while 1: pass\r")
    assert one.say("print('\\x1b[2J')") == rb"\x1b[2J" + b"\r\n"
    one.type("\x04")
    assert one.wait() == 0


def test_a_statement_may_await_and_lines_for_ipython_are_answered():
    typed = "import asyncio\nawait asyncio.sleep(0, 42)\nx = await asyncio.sleep(0, 7)\nx\n%pwd\n!ls\n1 / 0\nawait 3\n=\n"
    done = shell(typed)
    assert done.stdout.split() == [b"42", b"7", b"'/work'"], done
    for said in (b"use os.listdir()", b"ZeroDivisionError", b"TypeError", b"SyntaxError"):
        assert said in done.stderr


def test_under_a_language_policy_neither_is_there():
    done = shell("await 3\n!ls\n6 * 7\n", "--feature", "stdout")
    assert done.stderr.count(b"SyntaxError") == 2 and b"42" in done.stdout
