"""Files of a living session, and which files a run is said to have made."""

from __future__ import annotations

import io
import os
import struct
import time

import pytest

from belljar import Execution, Output, Policy, ProtocolError, Result, Sandbox, SandboxError, SessionEnded, Template, run
from belljar._core import core as core_module
from belljar._session import Desk

core = pytest.mark.core
PYTHON = "/usr/bin/python3"


@pytest.fixture(scope="module")
def template():
    with Template(Policy(timeout=10, scratch="64M"), python=PYTHON) as template:
        yield template


@pytest.fixture
def sandbox(template):
    with Sandbox(template=template) as sandbox:
        yield sandbox


# ---- Reading and writing -----------------------------------------------------------------------------------------


@core
def test_files_of_a_session_are_read_written_and_deleted(sandbox):
    sandbox.files["in/data.txt"] = b"1 2 3"
    sandbox.run_code("open('out.txt', 'w').write(open('in/data.txt').read()[::-1])")
    assert sandbox.files["out.txt"] == b"3 2 1"
    assert list(sandbox.files) == ["in/data.txt", "out.txt"]
    assert len(sandbox.files) == 2
    del sandbox.files["out.txt"]
    assert "out.txt" not in sandbox.files
    assert sandbox.run_code("import os; os.path.exists('out.txt')").value is False
    with pytest.raises(KeyError):
        del sandbox.files["out.txt"]


@core
def test_what_the_host_writes_is_the_guests_own(sandbox):
    sandbox.files["theirs"] = b"x"
    code = "import os; s = os.stat('theirs'); open('theirs', 'a').write('y'); os.rename('theirs', 'mine'); s.st_uid == os.getuid()"
    assert sandbox.run_code(code).text == "True"
    assert sandbox.files["mine"] == b"xy"


def test_what_was_handed_in_is_there_before_anything_ran(template):
    with Sandbox(template=template, files={"a": b"1"}) as sandbox:
        assert dict(sandbox.files) == {"a": b"1"}
    with Sandbox(template=template) as sandbox:
        assert list(sandbox.files) == []


def test_text_and_files_of_the_host_can_be_written(sandbox, tmp_path):
    path = tmp_path / "big"
    path.write_bytes(os.urandom(20 << 20))
    sandbox.files["big"] = path
    sandbox.files["text"] = "grüße"
    sandbox.files["/tmp/there"] = b"t"
    sandbox.files["/home/user/.config/x"] = b"h"
    sandbox.files.write("tool", "#!", mode=0o755)
    assert sandbox.files["big"] == path.read_bytes()
    code = "import os; open('text').read(), open('/tmp/there').read(), open(os.path.expanduser('~/.config/x')).read(), oct(os.stat('tool').st_mode)"
    assert sandbox.run_code(code).value == ("grüße", "t", "h", "0o100755")
    assert sandbox.files.list("/home/user") == ["/home/user/.config/x"]


def test_a_folder_that_is_not_there_cannot_be_listed(sandbox):
    sandbox.files["full/below/a"] = b""
    code = "import os; os.mkdir('empty'); os.symlink('full', 'link'); os.mkdir('closed', 0)"
    execution = sandbox.run_code(code)
    assert sandbox.files.list("full") == ["full/below/a"] and sandbox.files.list("empty") == sandbox.files.list("closed") == []
    assert sandbox.files.list("/dev/shm") == [] == execution.files.list("full")
    for name, kind in (("none", FileNotFoundError), ("/tmp/none", FileNotFoundError), ("full/below/a", NotADirectoryError),
                       ("link", NotADirectoryError), ("full/below/a/x", NotADirectoryError)):  # fmt: skip
        for files in (sandbox.files, execution.files):
            with pytest.raises(kind) as failure:
                files.list(name)
            assert failure.value.filename == name
    assert sandbox.files.glob("none/*") == {}
    for files in (sandbox.run_code("1").files, run("1").files):
        with pytest.raises(FileNotFoundError):
            files.list("none")


def test_large_files_are_streamed(sandbox):
    line = b"0123456789abcdef" * 64
    with sandbox.files.open("log", "wb") as file:
        assert isinstance(file, io.BufferedWriter)
        for _ in range(12 << 10):
            file.write(line)
    with sandbox.files.open("log", "ab") as file:
        file.write(b"end")
    assert sandbox.run_code("import os; os.path.getsize('log')").value == len(line) * (12 << 10) + 3
    with sandbox.files.open("log") as file:
        file.seek(-3, os.SEEK_END)
        assert file.read() == b"end"
    with pytest.raises(ValueError, match="'rb', 'wb' or 'ab'"):
        sandbox.files.open("log", "r+b")


@pytest.mark.parametrize("name", ["/etc/passwd", "../../etc/passwd", "/work", "", "/tmp/", "/proc/self/mem"])
def test_only_the_scratch_can_be_written_or_deleted(sandbox, name):
    for attempt in (lambda: sandbox.files.write(name, b"x"), lambda: sandbox.files.open(name, "wb"),
                    lambda: sandbox.files.__delitem__(name), lambda: sandbox.files[name]):  # fmt: skip
        with pytest.raises(KeyError):
            attempt()


def test_neither_reading_nor_deleting_follows_a_link(sandbox, tmp_path):
    path = tmp_path / "kept"
    path.write_text("kept")
    sandbox.run_code(f"import os; os.symlink({str(path)!r}, 'link'); os.symlink({str(tmp_path)!r}, 'folder')")
    for name in ("link", "folder/kept"):
        with pytest.raises(KeyError):
            sandbox.files[name]
    with pytest.raises(KeyError):
        del sandbox.files["folder/kept"]
    del sandbox.files["link"]  # the link itself
    assert path.read_text() == "kept"
    assert sandbox.run_code("import os; os.listdir()").value == ["folder"]


def test_a_guest_that_turned_a_path_into_a_link_is_written_to_in_its_own_tree(sandbox, tmp_path):
    sandbox.run_code(f"import os; os.symlink({str(tmp_path)!r}, 'd')")
    with pytest.raises(SandboxError):
        sandbox.files["d/x"] = b"x"
    assert os.listdir(tmp_path) == []


def test_what_is_written_counts_for_the_quota():
    with Sandbox(Policy(scratch="4M", timeout=10), python=PYTHON) as sandbox:
        sandbox.files["small"] = b"x" * 1000
        with pytest.raises(SandboxError):
            sandbox.files["large"] = b"x" * (32 << 20)


def test_files_are_collected_by_glob(sandbox, tmp_path):
    sandbox.run_code("import os; os.mkdir('d')\nfor n in ('a.csv', 'd/b.csv', 'c.txt'): open(n, 'w').write(n)")
    assert sandbox.files.glob("*.csv") == {"a.csv": b"a.csv", "d/b.csv": b"d/b.csv"}
    (tmp_path / "a.csv").symlink_to("/etc/hostname")
    made = sandbox.files.collect("*.csv", tmp_path)
    assert sorted(made) == [tmp_path / "a.csv", tmp_path / "d/b.csv"]
    assert not (tmp_path / "a.csv").is_symlink()
    assert (tmp_path / "d/b.csv").read_text() == "d/b.csv"


def test_files_of_a_closed_session_say_so(template):
    sandbox = Sandbox(template=template)
    files = sandbox.files
    files["x"] = b"1"
    sandbox.close()
    with pytest.raises(SessionEnded):
        files["x"]
    with pytest.raises(SessionEnded):
        files["x"] = b"2"


# ---- What a run made -----------------------------------------------------------------------------------------------


@core
def test_an_execution_has_the_files_that_its_run_created_or_changed(template):
    with Sandbox(template=template, files={"in": b"1", "log": b"a"}) as sandbox:
        first = sandbox.run_code("open('out', 'w').write('1'); open('log', 'a').write('b')")
        second = sandbox.run_code("open('/tmp/t', 'w').close(); open('new', 'w').close()")
        third = sandbox.run_code("open('in').read()")
        fourth = sandbox.run_code("open('out', 'w').write('2')")
        assert list(first.files) == ["log", "out"]
        assert list(second.files) == ["new"]
        assert second.files.list("/tmp") == ["/tmp/t"]
        assert list(third.files) == []
        assert dict(fourth.files) == {"out": b"2"}
        with pytest.raises(KeyError):
            second.files["out"]


def test_what_the_host_writes_is_no_runs_result(sandbox):
    sandbox.run_code("x = 1")
    sandbox.files["host"] = b"1"
    assert list(sandbox.run_code("open('guest', 'w').close()").files) == ["guest"]
    assert list(sandbox.run_code("open('host', 'a').write('2')").files) == ["host"]


def test_writing_to_a_file_that_is_open_is_a_change(sandbox):
    assert list(sandbox.run_code("f = open('log', 'w')").files) == ["log"]
    assert list(sandbox.run_code("1 + 1").files) == []
    assert list(sandbox.run_code("f.write('x'); f.flush()").files) == ["log"]


def test_a_file_handed_in_and_rewritten_as_it_was_is_no_change(template):
    execution = template.run(
        "t = open('a').read(); open('a', 'w').write(t); open('b', 'w').write('B')", files={"a": b"a", "b": b"b"}
    )
    assert list(execution.files) == ["b"]


# ---- Streaming -------------------------------------------------------------------------------------------------------


@core
def test_a_stream_gives_output_results_and_the_execution(sandbox):
    events = list(sandbox.stream("import sys\nprint('out'); print('err', file=sys.stderr)\n6 * 7"))
    assert events[:2] == [Output("stdout", "out\n"), Output("stderr", "err\n")]
    assert isinstance(events[-2], Result) and events[-2].text == "42"
    assert isinstance(events[-1], Execution) and events[-1].value == 42


def test_a_stream_shows_progress_while_the_code_runs(sandbox):
    began = time.monotonic()
    seen = []
    for event in sandbox.stream("import time\nfor i in range(3):\n    print(i)\n    time.sleep(0.3)"):
        seen.append((type(event), time.monotonic() - began))
    assert [kind for kind, _ in seen] == [Output, Output, Output, Execution]
    assert seen[0][1] < 0.3 < seen[1][1]


def test_leaving_a_stream_stops_the_code_and_keeps_the_session(sandbox):
    for _ in sandbox.stream("x = 5\nimport time\nwhile True:\n    print('.')\n    time.sleep(0.01)"):
        break
    assert sandbox.run_code("x").value == 5


def test_leaving_a_stream_whose_code_goes_on_ends_the_session(sandbox):
    for _ in sandbox.stream(
        "while True:\n    try:\n        while True:\n            print('.')\n    except KeyboardInterrupt:\n        pass"
    ):
        break
    with pytest.raises(SessionEnded, match="went on after it was interrupted"):
        sandbox.run_code("1")


def test_a_stream_of_a_run_that_fails_ends_with_its_execution(sandbox):
    *_, execution = sandbox.stream("print('a')\n1 / 0")
    assert execution.error.name == "ZeroDivisionError"
    *_, execution = sandbox.stream("while True: pass", timeout=0.3)
    assert execution.verdict == "timeout"
    *_, execution = sandbox.stream("1")  # what was interrupted goes on
    assert execution.text == "1"
    deaf = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)\nwhile True: pass"
    *_, execution = sandbox.stream(deaf, timeout=0.3)
    assert execution.verdict == "timeout"
    with pytest.raises(SessionEnded):
        list(sandbox.stream("1"))


def test_results_arrive_while_the_code_runs(sandbox):
    began = time.monotonic()
    seen = []
    code = "import time\nfor i in range(2):\n    display(i)\n    time.sleep(0.4)\n'last'"
    execution = sandbox.run_code(code, on_result=lambda result: seen.append((result.text, time.monotonic() - began)))
    assert [text for text, _ in seen] == ["0", "1", "'last'"]
    assert seen[0][1] < 0.4 < seen[1][1]
    assert [result.text for result in execution.results] == ["0", "1", "'last'"]
    assert [result.is_main_result for result in execution.results] == [False, False, True]
    assert [type(event) for event in sandbox.stream("display(1); print(2)")] == [Result, Output, Execution]
    assert [result.text for result in sandbox.run_code("display(3); 4").results] == ["3", "4"]


def test_an_exception_in_on_result_ends_the_run_and_comes_out(sandbox):
    def fail(result):
        raise ArithmeticError("callback")

    began = time.monotonic()
    with pytest.raises(ArithmeticError, match="callback"):
        sandbox.run_code("display(1)\nwhile True: pass", on_result=fail)
    assert time.monotonic() - began < 5
    with pytest.raises(SessionEnded):
        sandbox.run_code("1")


def test_a_guest_that_shows_without_end_is_listened_to_for_a_while(sandbox):
    seen = []
    execution = sandbox.run_code("for i in range(11000): display(i)", on_result=seen.append)
    assert execution.verdict == "ok" and len(seen) == len(execution.results) == 10_000


def test_stdin_waits_for_the_first_code(template):
    with Sandbox(template=template, stdin="line\n") as sandbox:
        sandbox["x"] = 1
        assert sandbox.run_code("input()").value == "line"


# ---- Tracebacks ------------------------------------------------------------------------------------------------------

TRACEBACKS = [
    ("def f(x):\n    return 1 / x\nf(0)", "ZeroDivisionError", "division by zero", ["line 3, in <module>", "line 2, in f", "    return 1 / x"]),
    ("x = (1,\ny = 2\n", "SyntaxError", None, ["line 1", "x = (1,", "^"]),
    ("if True:\nx = 1", "IndentationError", None, ["line 2", "x = 1"]),
    ("import json\njson.loads('{')", "JSONDecodeError", None, ["line 2, in <module>", "json.loads('{')"]),
    ("try:\n    1 / 0\nexcept ZeroDivisionError as e:\n    raise ValueError('no') from e", "ValueError", "no",
     ["1 / 0", "direct cause", "raise ValueError('no') from e"]),
    ("class E(Exception): pass\nraise E('own')", "E", "own", ["raise E('own')"]),
    ("exec('1/0')", "ZeroDivisionError", "division by zero", ["exec('1/0')"]),
    ("import sys\nsys.exit('bye')", None, None, []),
    ("missing", "NameError", "name 'missing' is not defined", ["line 1, in <module>"]),
    ("raise ExceptionGroup('g', [ValueError(1), TypeError(2)])", "ExceptionGroup", None, ["ValueError: 1", "TypeError: 2"]),
]  # fmt: skip


@pytest.mark.parametrize(("code", "name", "value", "lines"), TRACEBACKS, ids=[row[0][-24:] for row in TRACEBACKS])
def test_a_traceback_shows_the_users_lines_and_no_frame_of_ours(sandbox, code, name, value, lines):
    execution = sandbox.run_code(code, filename="cell.py")
    if name is None:
        assert execution.error is None or execution.error.name == "SystemExit"
        return
    assert execution.error.name == name
    assert value is None or execution.error.value == value
    for line in lines:
        assert line in execution.error.traceback
    for word in ("belljar", "<host>", "perform", "runpy", "bootstrap"):
        assert word not in execution.error.traceback
    assert '"cell.py"' in execution.error.traceback
    last = execution.error.traceback.rstrip().splitlines()[-1]
    assert name in last or last.strip().startswith("+---")


def test_an_earlier_cell_has_its_lines_in_a_later_traceback(sandbox):
    sandbox.run_code("def broken():\n    raise LookupError('first cell')", filename="1.py")
    error = sandbox.run_code("broken()", filename="2.py").error
    assert 'File "2.py", line 1, in <module>\n    broken()' in error.traceback
    assert "File \"1.py\", line 2, in broken\n    raise LookupError('first cell')" in error.traceback


# ---- Hostile displays ------------------------------------------------------------------------------------------------

BAD_DISPLAYS = [
    [None], [[]], [[], []], [[], None], [[], [[b"text/plain"]]], [[], [["text/plain", b"x"]]], [[], [[b"text/plain", "x"]]],
    [[], [(b"a", b"b")]], [[], [[b"a", b"b"]] * 65], [[1, 1], [[b"a", b"b"]]], [None, [[b"a", b"b"]]], [[], [[b"a", b"b"]], 1],
]  # fmt: skip


@pytest.mark.parametrize("message", BAD_DISPLAYS, ids=[repr(row)[:30] for row in BAD_DISPLAYS])
def test_a_display_that_is_none_ends_the_sandbox(message):
    desk = Desk()
    data = core_module.encode_value(message)
    with pytest.raises(ProtocolError, match="the sandbox was ended"):
        desk.on_frame(65, struct.pack("<III", 1, 3, len(data)) + data)
    assert desk.shown.results == []


def test_a_display_is_a_result():
    desk = Desk()
    data = core_module.encode_value([[], [[b"text/plain", b"x"], [b"image/png", b"\x89PNG"], [b"\xff", b"odd"]]])
    desk.on_frame(65, struct.pack("<III", 1, 3, len(data)) + data)
    (result,) = desk.shown.results
    assert (result.text, result.png, result.extra) == ("x", "iVBORw==", {"\ufffd": "odd"})
