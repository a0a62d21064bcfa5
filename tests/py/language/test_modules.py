"""Views of modules: read as fast as modules are, and never written to, whatever the program asks."""

from __future__ import annotations

import ast
from collections.abc import Callable

from conftest import Outcome, SandboxConfig

TRIES = """
import math, collections, copy, operator, heapq
import json.decoder
M, B = type(math), type(__builtins__)
class Sly:
    pass
class Name(str):
    def __eq__(self, other): return True
    def __hash__(self): return hash("pi")
def attempt(text, function):
    try:
        print((text, "did", repr(function())[:60]))
    except Exception as error:
        print((text, type(error).__name__, str(error)))
for text in '''
setattr(math, "pi", 3)
delattr(math, "pi")
math.__setattr__("pi", 3)
object.__setattr__(math, "pi", 3)
object.__delattr__(math, "pi")
M.__setattr__(math, "pi", 3)
M.__delattr__(math, "pi")
super(M, math).__setattr__("pi", 3)
setattr(math, "__class__", Sly)
object.__setattr__(math, "__class__", B)
object.__setattr__(math, "__class__", Sly)
object.__setattr__(math, Name("pi"), 3)
object.__setattr__(__builtins__, "len", 3)
object.__delattr__(__builtins__, "len")
object.__setattr__(__builtins__, "__class__", M)
type("X", (M,), {})
M("x")
M.__new__(M)
object.__new__(M)
math.__dict__
vars(math)
object.__getattribute__(math, "__dict__")
M.__getattribute__(math, "__dict__")
getattr(math, Name("pi"))
M.__dict__
M.__mro__
operator.attrgetter("__dict__")(math)
"{0.__dict__}".format(math)
copy.copy(math)
math.__spec__
math.__loader__
math.__annotations__
math.__getattr__
collections.__file__
collections.__builtins__
collections._sys
json.decoder.scanner
math.sqrt.__self__
'''.strip().splitlines():
    attempt(text, eval("lambda: " + text))
"""


READS = """
import collections, math, heapq, json.decoder, sys
from math import *
from collections import *
before = math.pi
print((
    math.sqrt(4.0), math.pi is pi is before, Counter is collections.Counter, dir(math)[:2], type(math).__dir__(math)[:2], repr(math), math.__name__,
    math.__doc__[:11], collections.__all__[0], json.decoder.JSONDecodeError is json.JSONDecodeError, math == math, hash(math) == hash(math),
    len([]), __builtins__["abs"](-1), __builtins__.abs(-2), "len" in dir(__builtins__), hasattr(math, "nothing"), sys.version_info[0],
))
"""


def config() -> SandboxConfig:  # type: ignore[valid-type]
    made = SandboxConfig("everyday")
    made.allow_module("sys", "version_info")
    return made


def test_a_view_of_a_module_is_not_written_to_nor_looked_into(run: Callable[..., Outcome]) -> None:
    outcome = run(config(), TRIES + "print((math.sqrt(4.0), 3 < math.pi, len([])))\n")
    assert outcome.error is None, outcome.text
    *answers, last = [ast.literal_eval(line) for line in outcome.stdout.splitlines()]
    assert len(answers) == 38 and [answer for answer in answers if answer[1] == "did"] == []
    assert last == (2.0, True, 0)


def test_a_view_of_a_module_is_read_as_a_module_is(run: Callable[..., Outcome]) -> None:
    outcome = run(config(), READS)
    assert outcome.error is None, outcome.text
    assert ast.literal_eval(outcome.stdout) == (
        2.0, True, True, ["acos", "acosh"], ["acos", "acosh"], "<SafeModule 'math'>", "math", "This module", "ChainMap", True, True, True,
        0, 1, 2, True, False, 3,
    )  # fmt: skip


def test_names_of_a_module_are_where_the_interpreter_looks_first(run: Callable[..., Outcome]) -> None:
    """An attribute that a view had to be asked for would be another object each time, where it is a view itself."""
    outcome = run("math random", "import math, random\nassert type(math).__name__ == 'module'\nassert random.random is random.random\n"
                  "assert math.sqrt is math.sqrt")  # fmt: skip
    assert outcome.error is None, outcome.text
