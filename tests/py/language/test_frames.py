"""Builtins that act on the frame that calls them: a program has C code call them while the frame on top is the library's.

TABLE has a verdict for everything that asks for that frame. ATTACKS are ways to have the library's frame be the one; tests/py/
language/test_sweep.py looks for others."""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
from conftest import Outcome, SandboxConfig

Run = Callable[..., Outcome]

REFUSES, HARMLESS = "refuses", "harmless"

# ---- What asks for the frame on top -----------------------------------------------------------------------------------


class Row(NamedTuple):
    what: str
    verdict: str  # where the frame is not the program's
    reason: str
    asked: str  # has a library's frame be on top, and `found` get what came out
    shown: str = ""  # of what is harmless: holds of what was found


# `random.choice(Deputy())` has C code call call(*given) while a function of random is on top.
PRELUDE = """
import random
MARK = 1
found = []
class Own:
    def __init__(self):
        self.a = 1
def body():
    y = __name__
def deputy(call, *given):
    MARK = 1
    made = map(call, *[[one] for one in given]) if given else iter(call, None)
    class Deputy:
        __len__ = map(found.append, made).__next__
    try:
        random.choice(Deputy())
    except Exception as error:
        return type(error).__name__
def foreign(one):
    "Whether it is a namespace, its names or a module that are not the program's."
    if type(one) in (dict, list):
        return "MARK" not in one
    return type(one).__name__ in ("module", "super") or type(one) is str and ("escaped" in one or "built-in" in one)
"""

TABLE = (
    Row("eval", REFUSES, "evaluates in the frame's namespace", "deputy(eval, '__name__')"),
    Row("exec", REFUSES, "executes in it", "deputy(exec, 'x = 1')"),
    Row("compile", REFUSES, "adds what the frame's code has from __future__", "deputy(compile, 'x', 'x', 'eval')"),
    Row("globals", REFUSES, "is its namespace", "deputy(globals)"),
    Row("locals", REFUSES, "its variables", "deputy(locals)"),
    Row("vars()", REFUSES, "its variables", "deputy(vars)"),
    Row("dir()", REFUSES, "their names", "deputy(dir)"),
    Row("super()", REFUSES, "its first variable, and the class that its function is of", "deputy(super)"),
    Row("vars(object)", HARMLESS, "asks the object", "deputy(vars, Own())", "found == [{'a': 1}]"),
    Row("dir(object)", HARMLESS, "asks the object", "deputy(dir, Own())", "'a' in found[0]"),
    Row("super(type, object)", HARMLESS, "what it is given", "deputy(super, Own, Own())", "found[0].__thisclass__ is Own"),
    Row(
        "type(name, bases, names)", HARMLESS, "__module__ is the namespace's name, a text",
        "deputy(type, 'X', (), {})", "type(found[0].__module__) is str",
    ),
    Row(
        "__import__", HARMLESS, "the policy's takes what it is given, never the frame's, and looks each name up in what is allowed",
        "deputy(__import__, 'os')", "said == 'ImportError' and not found",
    ),
    Row(
        "__import__ of a level", HARMLESS, "the same", "deputy(__import__, '', {'__name__': 'os'}, None, ('x',), 1)",
        "said == 'ImportError' and not found",
    ),
    Row(
        "__build_class__", HARMLESS, "runs a function, which has a namespace of its own",
        "deputy(__build_class__, body, 'X')", "found[0].__name__ == 'X'",
    ),
    Row(
        "class C[T], NamedTuple, Enum, namedtuple", HARMLESS,
        "sys._getframe in the library: attributes of frames are hidden, so __module__ is what the class says or the library's name",
        "found.append(namedtuple('P', 'x').__module__)", "type(found[0]) is str",
    ),
    Row(
        "warnings of C code", HARMLESS, "kept in the namespace of the frame, which nobody is shown",
        "deputy(complex, Loud())", "found == [1 + 0j] or said == 'TypeError'",
    ),
    Row(
        "sys._getframe, inspect, warnings.warn", HARMLESS, "in no feature; docs/pysandbox.md says what they undo",
        "deputy(__import__, 'inspect')", "said == 'ImportError'",
    ),
)  # fmt: skip


def everything(*features: str) -> Any:
    """What the features and the documented safe list give."""
    config = SandboxConfig(*features)
    config.builtins_whitelist = config.builtins_whitelist | {"compile"}
    for name, symbols in SAFE.items():
        config.allow_safe_module(name, *symbols.split())
    return config


# docs/pysandbox.md, "Safe beside the features", and what was asked for beside those.
SAFE = {
    "abc": "ABC ABCMeta abstractmethod",
    "collections": "ChainMap Counter OrderedDict UserDict UserList UserString defaultdict deque namedtuple",
    "collections.abc": "Iterable Mapping MutableMapping Sequence",
    "contextlib": "ExitStack AbstractContextManager closing contextmanager nullcontext suppress redirect_stdout",
    "enum": "Enum Flag IntEnum auto unique",
    "functools": "lru_cache wraps total_ordering reduce partial cached_property cmp_to_key",
    "operator": "attrgetter itemgetter methodcaller",
    "json": "loads dumps JSONDecoder JSONEncoder",
    "decimal": "Decimal",
    "fractions": "Fraction",
    "statistics": "mean median mode stdev quantiles fmean linear_regression multimode",
    "string": "Template capwords",
    "textwrap": "fill wrap dedent indent shorten",
    "heapq": "heappush heappop merge nlargest nsmallest heapify",
    "bisect": "bisect insort",
    "copy": "copy deepcopy",
    "typing": "Optional List NamedTuple TypeVar Generic Protocol",
}
FEATURES = (
    "codecs datetime encodings exit future hashlib help itertools math random regex site stderr stdin stdout time "
    "traceback unicodedata"
).split()


def report(run: Run, config: Any, source: str) -> list[Any]:
    """What the program printed: a line each, of literals."""
    outcome = run(config, source)
    assert outcome.error is None, outcome.text
    return [ast.literal_eval(line) for line in outcome.stdout.splitlines() if line.startswith("(")]


def test_what_asks_for_the_frame_is_as_the_table_says(run: Run) -> None:
    more = "from collections import namedtuple\nclass Loud:\n    def __complex__(self):\n        return Loud2(1)\nclass Loud2(complex): pass\n"
    rows = "".join(
        f"found.clear()\nsaid = {row.asked}\nprint(({row.what!r}, said, len(found), bool({row.shown or 'said'})))\n"
        for row in TABLE
    )
    answers = report(run, everything("random", "stdout"), PRELUDE + more + rows)
    assert [what for what, *_ in answers] == [row.what for row in TABLE]
    for row, (what, said, count, holds) in zip(TABLE, answers, strict=True):
        if row.verdict == REFUSES:
            assert (what, said, count) == (what, "SandboxError", 0)
        else:
            assert (what, holds) == (what, True), said


def test_a_refusal_says_what_to_write_instead(run: Run) -> None:
    ((text,),) = report(run, "random stdout", """
import random
try:
    random.choices("ab", weights=map(eval, ["1", "2"]))
except Exception as error:
    print((str(error),))
""")  # fmt: skip
    assert text == (
        "eval() blocked by the sandbox: it acts on the code that calls it, and here that is not the program's. "
        "Give a function of the program's that calls it: lambda *args: eval(*args)"
    )


# ---- Ways to have a library's frame on top ----------------------------------------------------------------------------

T = "__import__('os')"
ATTACKS = {
    "weights of random.choices": "random.choices('ab', weights=map(found.append, map(eval, [T] * 2)))",
    "len() in random.choice": "deputy(eval, T)",
    "__index__ in random.randrange": "random.randrange(type('X', (), {'__index__': map(found.append, some(globals)).__next__})())",
    "json.loads with a class": "found.append(json.loads(T, cls=type('D', (), {'__init__': lambda self, **kw: None, 'decode': staticmethod(eval)})))",
    "contextmanager": "found.append(contextmanager(globals)().gen)",
    "ExitStack": "with_stack()",
    "ExitStack and exec": "exit_stack()",
    "closing": "close()",
    "partial": "mean(map(found.append, map(partial(eval), [T])))",
    "statistics": "mean(map(found.append, map(eval, [T] * 3)))",
    "statistics, key": "found.extend(multimode(map(eval, [T])))",
    "heapq.nlargest": "nlargest(2, [T], key=keep(eval))",
    "heapq.merge": "next(merge(map(found.append, map(eval, [T])), []))",
    "enum": "missing()(T)",
    "UserList": "found.extend(UserList(map(eval, [T])).data)",
    "UserDict": "UserDict(map(found.append, some(globals)))",
    "Counter": "Counter(map(found.append, some(dir)))",
    "Counter of names": "found.extend(Counter(map(eval, [T])))",
    "Template": "found.append(Template('$globals').substitute(type('M', (), {'__getitem__': eval})()))",
    "lru_cache": "mean(map(found.append, map(lru_cache(eval), [T])))",
    "copy": "copy(type('C', (), {'__copy__': keep(eval)})())",
    "cached_property": "cached()",
    "textwrap": "fill(type('W', (str,), {'expandtabs': keep(globals)})('x'))",
    "strptime": "strptime_cache()",
    "re template": "re.sub('(a)', Evil('\\\\1'), 'a')",
    "traceback.format_exception": "found.append(''.join(traceback.format_exception(Said())))",
    "traceback.format_exception_only": "found.append(''.join(traceback.format_exception_only(Said())))",
    "traceback.print_exception": "traceback.print_exception(ValueError(T), file=type('F', (), {'write': keep(eval)})())",
    "help": "help(type('H', (), {'__getattr__': keep(eval), '__doc__': property(keep(vars))})())",
    "fractions": "Fraction.from_float(type('N', (float,), {'as_integer_ratio': map(found.append, some(locals)).__next__})(1.5))",
    "hashlib": "hashlib.new(type('S', (str,), {'__hash__': map(found.append, some(globals)).__next__})('md5'))",
    "a generator": "next(merge(map(found.append, some(globals)), []))",
    "abstract class": "issubclass(int, type('A', (ABC,), {'__subclasshook__': keep(eval)}))",
    "a finalizer": "mean(map(Last, [1, 2, 3]))",
    "super": "random.seed(type('S', (), {'__class__': property(keep(super))})())",
    "what is behind super": "found.append(super_itself())",
}  # fmt: skip

HELPERS = (
    """
import datetime, hashlib, re, time, traceback
import json
from abc import ABC
from collections import Counter, defaultdict, UserDict, UserList
from contextlib import ExitStack, closing, contextmanager
from copy import copy
from enum import Enum
from fractions import Fraction
from functools import cached_property, lru_cache, partial, wraps
from itertools import islice
from heapq import merge, nlargest
from statistics import mean, multimode
from string import Template
from textwrap import fill
T = %r
def some(call):
    return islice(iter(call, None), 5)
class Evil(str):
    __hash__ = map(found.append, some(globals)).__next__
    __eq__ = eval
class Said(Exception):
    __str__ = map(eval, ["'esc' + 'aped' if __import__('os') else ''"] * 9).__next__
def keep(call):
    "A callable in C: whatever its arguments are, found gets what call() or call(T) gives there."
    made = map(found.append, map(call, [T] * 9) if call is eval or call is exec else some(call))
    return partial(print, file=type('F', (), {'write': defaultdict(made.__next__).__getitem__})())
def super_itself():
    MARK = 1
    made = super.__new__(super)
    try:
        random.seed(type('S', (), {'__class__': property(keep(super(super, made).__init__))})())
    finally:
        return "escaped" if made.__self__ is not None else ""
def with_stack():
    MARK = 1
    with ExitStack() as stack:
        stack.callback(map(found.append, some(vars)).__next__)
def exit_stack():
    MARK = 1
    with ExitStack() as stack:
        stack.callback(exec, "raise ZeroDivisionError(__import__('os').sep)")
def close():
    MARK = 1
    with closing(type('C', (), {'close': map(found.append, some(globals)).__next__})()):
        pass
def missing():
    class E(Enum):
        A = 1
        _missing_ = staticmethod(eval)
    return E
def cached():
    class C:
        made = cached_property(keep(eval))
    C().made
def strptime_cache():
    time.strptime('1', Evil('%%d'))
    time.strptime('1', Evil('%%d'))
class Last(int):
    __del__ = map(found.append, some(globals)).__next__
"""
    % T
)


def attack_program() -> str:
    lines = [PRELUDE, HELPERS]
    for name, attack in ATTACKS.items():
        lines.append(
            f"found.clear()\ntry:\n    {attack}\nexcept BaseException as error:\n    said = type(error).__name__, str(error)[:200]"
        )
        lines.append(
            f"else:\n    said = ''\nfinally:\n    print(({name!r}, said, [str(one)[:300] for one in found if foreign(one)]))"
        )
    return "\n".join(lines)


def test_no_library_calls_them_for_a_program(run: Run) -> None:
    answers = report(run, everything(*FEATURES), attack_program())
    assert {name: shown for name, _, shown in answers if shown} == {}
    assert [name for name, said, _ in answers if "ZeroDivisionError" in said or "<module" in str(said)] == []
    assert [name for name, *_ in answers] == list(ATTACKS)


@pytest.mark.parametrize("restricted", (False, True))
@pytest.mark.parametrize("special", ("__str__", "__repr__"))
def test_nor_does_the_runner(run: Run, restricted: bool, special: str) -> None:
    config = SandboxConfig(restricted=restricted)
    outcome = run(
        config,
        f"""
class E(Exception):
    {special} = map(eval, ["'esc' + 'aped' if __import__('os') else ''"] * 9).__next__
raise E
""",
    )
    assert outcome.error == "E"
    assert "escaped" not in outcome.text + outcome.message


# ---- What is permitted ------------------------------------------------------------------------------------------------

PERMITTED = (
    "list(map(eval, ['1+1', 'x'])) == [2, 7]",
    "sorted(['2', '1'], key=eval) == ['1', '2']",
    "[*map(dir, [Own()])][0].count('a') == 1",
    "next(iter(globals, None)) is globals()",
    "(lambda y: locals())(1) == {'y': 1} and (lambda y: dir())(1) == ['y'] and (lambda y: vars())(1) == {'y': 1}",
    "random.choices([3], weights=map(lambda text: eval(text), ['1'])) == [3]",
    "json.dumps([Own()], default=vars) == '[{\"a\": 1}]'",
    "json.loads('[1.5]', parse_float=lambda text: eval(text)) == [1.5]",
    "partial(eval, 'x + y', {'x': 1, 'y': 2})() == 3",
    "eval('x', {'__builtins__': {}}, {'x': 5}) == 5",
    "eval('f()', {'__builtins__': {'f': globals}})['__builtins__'].keys() == {'f'}",
    "eval('f(\"1 + g()\")', {'__builtins__': {'f': eval, 'g': lambda: 2}}) == 3",
    "[eval('len(l())', {'__builtins__': {'l': locals, 'len': len}}) for _ in range(500)][-1] == 1",
    "eval('(lambda: g())', {'__builtins__': {'g': globals}})()['__builtins__'].keys() == {'g'}",
    "eval(compile('x', 'here', 'eval')) == 7",
    "next(eval(text) for text in ['x']) == 7",
    "Down().up() == 'up' and Down().up_again() == 'up' and Down().first() == 'up'",
    "max([1, 2], key=Down().rank) == 2",
    "[c for c in map(type.__call__, [dict])] == [{}]",
    "contextmanager(gen)().__enter__()['MARK'] == 1",
)

OWN = """
x = 7
class Up:
    def up(self): return 'up'
    def rank(self, one): return one
class Down(Up):
    def up(self): return super().up()
    def up_again(self):
        made = super
        return made().up()
    def first(self): return next(map(type.__call__, [super])).up()
    def rank(self, one): return super(Down, self).rank(one)
def gen():
    MARK = 1
    yield locals()
"""


def test_the_program_itself_may_call_them_from_c_as_well(run: Run) -> None:
    source = "\n".join([PRELUDE, HELPERS, OWN, *(f"print(({row!r}, bool({row})))" for row in PERMITTED)])
    answers = report(run, everything(*FEATURES), source)
    assert [row for row, holds in answers if not holds] == []
    assert len(answers) == len(PERMITTED)


def test_no_key_pretends_to_be_the_name_of_the_builtins(run: Run) -> None:
    source = """
class Key(str):
    says = []
    def __hash__(self): return hash("__builtins__")
    def __eq__(self, other): return self.says.pop(0) if self.says else False
for says in ([True], [False, True], [True, True], [True, False, True], []):
    space = {Key("k"): {}}
    Key.says = [*says]
    try:
        exec("x = 1", space)
    except Exception as error:
        assert type(error).__name__ == "SandboxError", error
    Key.says = []
    assert [one for one in space.values() if type(one) is dict and one] == []
"""
    outcome = run("", source)
    assert outcome.error is None, outcome.text
