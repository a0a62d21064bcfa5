"""Each refusal of the language policy ends with what would permit it, and with that it is permitted."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

belljar = pytest.importorskip("belljar")
from belljar import pysandbox  # noqa: E402

OS = 'to permit it: allow_module("os", …) for views, allow_safe_module("os", …) for the things themselves'

# (program, the error's text to its end, what makes it pass: options of a Policy, or None if nothing does)
GOLDEN: list[tuple[str, str, dict[str, Any] | None]] = [
    ("import math", 'Import "math" blocked by the sandbox; to permit it: the feature math or everyday', {"feature": "math"}),
    ("import json", 'Import "json" blocked by the sandbox; to permit it: the feature everyday', {"feature": "everyday"}),
    ("import os; os.sep", f'Import "os" blocked by the sandbox; {OS}', {"allow_module": "os:sep"}),
    ("import pickle", 'Import "pickle" blocked by the sandbox; to permit it: allow_module("pickle", …), which undoes the policy',
     {"allow_module": "pickle"}),
    ("from re import Scanner", "cannot import name 'Scanner' from 're'; to permit it: allow_module(\"re\", \"Scanner\") for a view, "
     'allow_safe_module("re", "Scanner") for the thing itself', {"allow_module": "re:Scanner"}),
    ("import re; re.Scanner", "SafeModule 're' has no attribute 'Scanner'; to permit it: allow_module(\"re\", \"Scanner\") for a view, "
     'allow_safe_module("re", "Scanner") for the thing itself', {"allow_safe_module": "re:Scanner"}),
    ("import re; re.nothing", "SafeModule 're' has no attribute 'nothing'", None),
    ("print(1)", "Block access to sys.stdout.write; to permit it: the feature stdout or everyday", {"feature": "stdout"}),
    ("input", "name 'input' is not defined; to permit it: the feature stdin", {"feature": "stdin"}),
    ("SystemExit", "name 'SystemExit' is not defined; to permit it: the feature exit", {"feature": "exit"}),
    ("nowhere", "name 'nowhere' is not defined", None),
    ("breakpoint", "name 'breakpoint' is not defined; nothing permits it: imports what the environment names", None),
    ("exit()", "exit() function blocked by the sandbox; to permit it: the feature exit", {"feature": "exit"}),
    ("def f(n): return n and 1 + f(n - 1)\nf(70)", "maximum recursion depth exceeded; the limit of 50 frames is the policy's; "
     "to permit it: recursion_limit=100, or more", {"recursion_limit": 100}),
    ("(lambda: 0).__code__", "'function' object has no attribute '__code__'; nothing permits it: it leads out of the policy", None),
    ("try: 1 / 0\nexcept Exception as e: e.__traceback__", "'ZeroDivisionError' object has no attribute '__traceback__'; to permit it: "
     "the feature traceback", {"feature": "traceback"}),
    ("'x'.encode('cp1252')", "unknown encoding: cp1252; to permit it: the feature encodings", {"feature": "encodings"}),
    ("open('/etc/services')", "[Errno 13] Sandbox deny access to the file '/etc/services': '/etc/services'; to permit it: "
     "allow_path('/etc/services')", None),
    ("open('/dev/stdin')", "[Errno 13] Sandbox deny access to the file '/dev/stdin': '/dev/stdin'; nothing permits it by that name: "
     "read sys.stdin, which is there with the feature stdin", None),
    ("open('/proc/self/fd/0')", "[Errno 13] Sandbox deny access to the file '/proc/self/fd/0': '/proc/self/fd/0'; nothing permits it by that "
     "name: read sys.stdin, which is there with the feature stdin", None),
    ("open('/dev/null')", "[Errno 13] Sandbox deny access to the file '/dev/null': '/dev/null'; nothing permits it: the host hands out no "
     "devices, and nothing of procfs", None),
    ("open('/proc/self/status')", "[Errno 13] Sandbox deny access to the file '/proc/self/status': '/proc/self/status'; nothing permits it: "
     "the host hands out no devices, and nothing of procfs", None),
    ("open('x', 'w')", "Only read modes are allowed. Nothing permits writing: return the text, or print it", None),
    ("'{0.__class__}'.format(1)", "attribute of a format field blocked by the sandbox: it starts with _; nothing permits it: hand the "
     "value itself to format()", None),
    ("import re; re.x = 1", "Read only object; to permit it: change a copy of it, or have the host allow the thing itself "
     "(allow_safe_module, methods=)", None),
]  # fmt: skip


@pytest.fixture(scope="module")
def template() -> Iterator[Any]:
    with belljar.Template(belljar.Policy(feature=["regex"])) as made:
        yield made


@pytest.mark.parametrize(("program", "text", "permits"), GOLDEN, ids=[row[0].partition("\n")[0] for row in GOLDEN])
def test_a_refusal_ends_with_what_would_permit_it(template: Any, program: str, text: str, permits: dict[str, Any] | None) -> None:
    done = template.run(program)
    assert done.error.value.rstrip() == text
    assert text in done.error.traceback


@pytest.mark.parametrize(
    ("program", "permits"), [(row[0], row[2]) for row in GOLDEN if row[2]], ids=[row[0][:20] for row in GOLDEN if row[2]]
)
def test_what_it_names_permits_it(program: str, permits: dict[str, Any]) -> None:
    features = ["regex", *([permits["feature"]] if "feature" in permits else [])]
    done = belljar.run(program, belljar.Policy(**{**permits, "feature": features}))
    assert done.error is None or done.error.name == "ImportError", done.error


@pytest.mark.parametrize("path", ["/dev/null", "/proc/self/status"])
def test_what_nothing_permits_no_host_can_allow(path: str) -> None:
    """And what is allowed by its path is read: the twin."""
    config = belljar.SandboxConfig("regex")
    config.allow_path(path)
    with pytest.raises(belljar.SandboxError):
        belljar.run("open('/etc/services')", config)
    config = belljar.SandboxConfig("regex")
    config.allow_path(__file__)
    done = belljar.run(f"open({__file__!r}).readline()", config)
    assert done.value == open(__file__).readline(), done


def test_a_program_that_catches_a_refusal_reads_it_too(template: Any) -> None:
    program = "try: import math\nexcept ImportError as e: text = str(e)\nassert text.endswith('the feature math or everyday')"
    assert template.run(program).error is None


def test_pysandboxs_texts_are_as_they_were() -> None:
    for kind, code, text in (
        (ImportError, "import os", 'Import "os" blocked by the sandbox'),
        (NameError, "input", "name 'input' is not defined"),
    ):
        with pytest.raises(kind) as caught:
            pysandbox.Sandbox(pysandbox.SandboxConfig()).execute(code)
        assert str(caught.value) == text


SYNTAX = [
    ("x = (1 +\n", "  File \"<code>\", line 1\n    x = (1 +\n        ^\nSyntaxError: '(' was never closed\n"),
    ("if 1:\n    y = 1 1\n", '  File "<code>", line 2\n    y = 1 1\n          ^\nSyntaxError: invalid syntax'),
    ("é = 'ä' 3\n", "  File \"<code>\", line 1\n    é = 'ä' 3\n            ^\nSyntaxError: invalid syntax"),
    ("def f():\nreturn\n", '  File "<code>", line 2\n    return\n    ^^^^^^\nIndentationError: '),
]


@pytest.mark.parametrize(("program", "shown"), SYNTAX, ids=["open", "two", "wide", "indent"])
def test_a_syntax_error_shows_line_and_caret(template: Any, program: str, shown: str) -> None:
    assert shown in template.run(program).error.traceback


def test_no_traceback_shows_a_line_of_ours(template: Any) -> None:
    for program in ("open('/etc/services')", "import re\nre.compile('(')", "exec('1 / 0')", "def f():\n    open(1)\nf()"):
        text = template.run(program).error.traceback
        assert '"<code>", line' in text and "belljar>" not in text and "<host>" not in text
