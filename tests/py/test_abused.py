"""Programs that take away what the interpreter works with: their run has an ordinary Python error or none, and the session's next
runs do what they can, or say in Python's words what is missing."""

import pytest

import belljar

OFF = "import of {} halted; None in sys.modules"
# what is done; the error of that run, or None; what `print('second'); 40 + 2` comes to then: its error, or None
ROWS = [
    ("sys.modules = None", None, None),
    ("sys.modules.clear()", None, None),
    ("sys.modules['json'] = None; import json", ("ModuleNotFoundError", OFF.format("json")), None),
    ("sys.modules.update(dict.fromkeys(sys.modules))", None, ("ModuleNotFoundError", OFF.format("_ast"))),
    ("sys.modules.update(builtins=None, sys=None, __main__=None)", None, None),
    ("del builtins.print; print()", ("NameError", "name 'print' is not defined"), ("NameError", "name 'print' is not defined")),
    ("del builtins.__import__; import os", ("ImportError", "__import__ not found"), None),
    ("builtins.compile = builtins.eval = builtins.exec = None", None, None),
    ("builtins.Exception = builtins.BaseException = None; 1 / 0", ("ZeroDivisionError", "division by zero"), None),
    ("del sys.stdout; print()", ("RuntimeError", "lost sys.stdout"), ("RuntimeError", "lost sys.stdout")),
    ("del sys.stderr; 1 / 0", ("ZeroDivisionError", "division by zero"), None),
    ("del sys.excepthook; 1 / 0", ("ZeroDivisionError", "division by zero"), None),
    ("del sys.excepthook, sys.__excepthook__; 1 / 0", ("ZeroDivisionError", "division by zero"), None),
    ("del sys.displayhook; 5", None, None),
    ("del sys.argv, sys.orig_argv, sys.executable", None, None),
    ("sys.argv = sys.orig_argv = 5", None, None),
    ("sys.path = None; import colorsys", ("TypeError", "'NoneType' object is not iterable"), None),
    ("del sys.path; 1 / 0", ("ZeroDivisionError", "division by zero"), None),
    ("sys.meta_path = None; import colorsys", ("ImportError", "sys.meta_path is None, Python is likely shutting down"), None),
    ("vars(sys).clear(); 1 / 0", ("ZeroDivisionError", "division by zero"), ...),
    ("import linecache, traceback; vars(linecache).clear(), vars(traceback).clear(); 1 / 0", ("ZeroDivisionError", "division by zero"), None),
    ("import os; vars(os).clear()", None, None),
    ("globals().clear()", None, None),
]  # fmt: skip
CLOSES = ["import os; os.close(3)", "import os; os.closerange(0, 20)"]


@pytest.fixture(scope="module")
def template():
    with belljar.Template(parked=1) as made:
        yield made


def error_of(execution):
    return execution.error and (execution.error.name, execution.error.value)


@pytest.mark.parametrize(("code", "error", "later"), ROWS, ids=[row[0][:50] for row in ROWS])
def test_what_a_program_takes_away_is_an_error_of_pythons_and_the_session_goes_on(template, code, error, later):
    code = "import builtins, sys; " + code
    assert error_of(template.run(code)) == error
    with template.sandbox() as sandbox:
        assert error_of(sandbox.run_code(code)) == error
        second = sandbox.run_code("print('second'); 40 + 2")
        if later is ...:
            assert "belljar" not in second.error.value
        else:
            assert error_of(second) == later and (later or second.value == 42), second
        third = sandbox.run_code("1 / 0")
        assert later is ... or error_of(third) == ("ZeroDivisionError", "division by zero")


@pytest.mark.parametrize("code", CLOSES)
def test_a_program_that_closes_its_channel_is_told_of_as_that(template, code):
    assert error_of(template.run(code)) == ("ProtocolError", "closed its value channel")
    with template.sandbox() as sandbox:
        with pytest.raises(belljar.SandboxError, match="the sandbox was ended: closed its value channel"):
            sandbox.run_code(code)
        with pytest.raises(belljar.SandboxError, match="the session is over"):
            sandbox.run_code("1")


def test_a_program_that_ends_with_the_status_of_a_guest_that_cannot_speak_has_it(template):
    assert error_of(template.run("import os; os._exit(70)")) == ("SystemExit", "70")
