"""A plain run, which the guest does in C (guest/plain.c), against the same program as a run that is not plain: nothing that a caller or
the program sees is different."""

from __future__ import annotations

import itertools
import os
import re

import pytest

from belljar import Policy, Sandbox, Template

PYTHONS = ["/usr/bin/python3", *filter(None, os.environ.get("BELLJAR_PYTHONS", "").split(":"))]

ADDRESS = re.compile("0x[0-9a-f]+")
DYING = "class Dying:\n    def __del__(self): print('it ends')\n"
PROGRAMS = [
    # values
    "1 + 1", "'x' * 3", "None", "True", "2.5", "-0.0", "float('nan')", "b'bytes'", "''", "'\\ud800'", "'é'", "'x' * 5000", "10 ** 900", "10 ** 9000",
    "[1, [2]]", "{'a': (1, 2)}", "{1, 2}", "object", "...", "1j", "print", "type('T', (int,), {'__repr__': lambda self: 'own'})(3)",
    "type('Bad', (), {'__repr__': lambda self: 1 / 0})()", "type('Rich', (), {'_repr_html_': lambda self: '<b>'})()",
    # forms of text
    "", "\n", "# nothing", "x = 3", "x = 6\nx * 7", "  6 * 7", "6 * 7  \n\n", "6 * 7  # sense", "x = 3; x", "(x := 4)", "dict(a=1)", "'''a\n\nb'''", "\n\n6 * 7",
    "if True:\n    3\n", "x = '\\x0c'\nx", "\x0c6 * 7", "6 * 7\x1c", "é = 1\né", "6 *\t7\t", "1 +", "x = (", "'\\d'", "1 is 1", "0_", "\0", "1\r\n", "x = 1\r\nx\r\n",
    "%pwd", "!ls", "await 3", "import asyncio\nawait asyncio.sleep(0, 42)", "lambda: (yield)", "return 3", "from __future__ import annotations\n1",
    # ends
    "1 / 0", "def f():\n    raise ValueError('no')\nf()", "raise SystemExit", "raise SystemExit(3)", "exit('words')", "raise KeyboardInterrupt",
    "raise MemoryError", "[0] * 10 ** 13", "(lambda: 1 / 0)()", "try:\n    1 / 0\nexcept ZeroDivisionError as error:\n    raise OSError('again') from error",
    "import sys\nsys.excepthook = lambda *about: print('hooked')\n1 / 0", "raise type('Own', (Exception,), {'__str__': lambda self: 1 / 0})()",
    "raise type('Deaf', (Exception,), {'__setattr__': lambda *about: None})('kept')", "raise type('Odd', (Exception,), {'__traceback__': 3})('kept')",
    "raise type('Odd', (MemoryError,), {'__traceback__': property(lambda self: 1 / 0)})('kept')",
    # output, and what is there when it is over
    "print('out'); 3", "print('out', end='')", "import sys\nsys.stdout.write('part')", "import sys\nsys.stdout.buffer.write(b'bytes')\n1",
    "import sys\nprint('bad', file=sys.stderr)\n1", "import sys\nsys.stdout.close()\n1", "import sys, io\nsys.stdout = io.StringIO()\nprint('gone')\n1",
    "import sys\nsys.stdout = None\n1", "import os\nos.close(1)\nprint('lost')\n1", DYING + "kept = Dying()\n1", DYING + "Dying()\n1", DYING + "kept = Dying()\n1 / 0",
    DYING + "def cycle():\n    cycle.it = Dying(), cycle\ncycle()\n1", "import atexit\natexit.register(print, 'bye')\n1",
    "import gc\ngc.callbacks.append(lambda *about: None)\n1", "open('/work/file', 'w').write('text')\n1", "file = open('/work/file', 'w')\nfile.write('text')",
    "import threading, time\nthreading.Thread(target=lambda: (time.sleep(0.02), print('thread'))).start()\n1",
    "import warnings\nwarnings.warn('careful')\n1", "display(3)\n4",
    # what it finds
    "import sys\n[sys.argv, sys.path[0], len(sys.path), sys.orig_argv[1:]]", "import linecache\nlinecache.cache", "sorted(vars())", "__name__",
    "import sys\nsys.modules['__main__'].__dict__ is globals()", "import gc\n[gc.isenabled(), gc.get_threshold(), gc.get_freeze_count() > 0]",
    "import sys\nseen = []\nsys.addaudithook(lambda *event: seen.append(event[0]))\n[compile('1', 'f', 'eval'), seen][1]", "input()",
    "import traceback\ndef f(): return traceback.extract_stack()[-1].line\nf()", "import inspect\ndef f(): pass\ninspect.getsource(f)",
    "import belljar_guest", "import os\nos.getcwd()", "import contextvars\nlen(contextvars.copy_context())", "import sys\nsys.exc_info()",
]  # fmt: skip


def seen(execution):
    error = execution.error and (execution.error.name, execution.error.value, execution.error.traceback)
    shown = [(result.is_main_result, result.text, result.html) for result in execution.results]
    value = hex(execution.value) if type(execution.value) is int else repr(execution.value)
    looks = ADDRESS.sub("0x", repr([value, execution.text, shown]))
    return [execution.verdict, execution.exit, looks, execution.stdout, execution.stderr, error]


@pytest.fixture(scope="module", params=PYTHONS)
def short(request):
    with Template(Policy(timeout=20), python=request.param, parked=6) as template:
        yield template


@pytest.mark.parametrize("code", PROGRAMS, ids=range(len(PROGRAMS)))
def test_a_plain_run_in_a_fresh_guest_is_as_any_other(short, code):
    assert seen(short.run(code)) == seen(short.run(code, files={"beside": b""}))


def test_plain_runs_of_a_session_are_as_others(short):
    """One after the other in the same session; what one leaves broken is there for the next."""
    ends = ("sys.stdout", "os.close(1)", "sys.excepthook", "audithook", "linecache", "gc.callbacks", "sleep(0.02)", "vars()")
    programs = [code for code in PROGRAMS if not any(part in code for part in ends)]
    steps = ["_", "_ + 1", "x = 5", "x", "display = 3", "1", "del display", "1", "import sys; sys.argv = ()", "1", "sys.argv = ['own']", "sys.argv",
             "sys.path = [*sys.path]", "sys.path[0]", "import linecache; linecache.cache = {}", "1 / 0", "sys.stdin.close()", "input()",
             "import builtins; del builtins.display", "display(1)", "_"]  # fmt: skip
    with Sandbox(template=short) as plain, Sandbox(template=short) as other:
        for number, code in enumerate(itertools.chain(programs, steps)):
            assert seen(plain.run_code(code)) == seen(other.run_code(code, cwd="/work")), (number, code)


FRAMES = "import sys\nframe, names = sys._getframe(), []\nwhile frame:\n    names.append(frame.f_code.co_name)\n    frame = frame.f_back\nnames[1:]"


def test_a_plain_run_has_no_function_of_ours_beneath_it_but_the_loop(short):
    for _ in range(8):  # warmed guests, and cold ones that nobody had time to warm
        assert set(short.run(FRAMES).value) <= {"serve", "<module>"}
    assert "run_cell" in short.run(FRAMES, files={"beside": b""}).value
    with Sandbox(template=short) as session:
        assert [set(session.run_code(FRAMES).value) <= {"serve", "<module>"} for _ in range(3)] == [True] * 3


@pytest.mark.parametrize("is_session", [False, True])
def test_an_interrupt_and_a_limit_end_a_plain_run_as_any_other(short, is_session):
    code = "import time\ntry:\n    time.sleep(60)\nfinally:\n    print('interrupted')"
    if is_session:
        with Sandbox(template=short) as session:
            execution = session.run_code(code, timeout=0.3)
            assert session.run_code("6 * 7").value == 42
    else:
        execution = short.run(code, timeout=0.3)
    assert execution.verdict == "timeout" and ("interrupted" in execution.stdout) == is_session


def test_the_place_where_a_limit_met_a_plain_run_is_the_programs_alone():
    with Template(Policy(), parked=1) as template:
        for _ in range(3):  # guests that began in different ways
            place = template.run("def f():\n    while True: pass\nf()", timeout=0.3).error.traceback
            assert re.findall('File "(.*?)", line ([0-9]+)', place) == [("<code>", "2"), ("<code>", "3")], place


def test_a_host_function_answers_while_a_plain_run_is_on_and_not_after_it(short):
    with Sandbox(template=short) as session:
        session.expose(lambda: "answered", "ask")
        assert session.run_code("ask()").value == "answered"
        session.run_code(
            "import threading, time\nsaid = []\ndef later():\n    time.sleep(0.2)\n    try: said.append(ask())\n"
            "    except BaseException as error: said.append(type(error).__name__)\nthreading.Thread(target=later).start()"
        )
        session.run_code("1 + 1")
        assert session.run_code("time.sleep(0.5); said[0]").value in ("answered", "RuntimeError")
        assert session.run_code("ask()").value == "answered"


@pytest.mark.parametrize("around", [{}, {"cwd": "/work"}], ids=["plain", "other"])
@pytest.mark.parametrize("own", ["__setattr__ = lambda *about: None", "__traceback__ = property(lambda self: 1 / 0)"])
def test_an_exception_that_hides_its_traceback_is_told_as_python_tells_it(short, own, around):
    with Sandbox(template=short) as session:
        execution = session.run_code(f"class Own(Exception):\n    {own}\nraise Own('said')", timeout=3, **around)
    assert (execution.verdict, execution.error.name, execution.error.value) == ("error", "Own", "said")
