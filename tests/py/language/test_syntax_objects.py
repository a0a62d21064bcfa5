"""Objects of the library that syntax and typing make: references that are texts, aliases, type parameters; and groups of errors."""

from __future__ import annotations

import ast
import subprocess
from collections.abc import Callable
from typing import Any

import pytest
from conftest import Outcome, SandboxConfig

Run = Callable[..., Outcome]

TEXT = "type('X', (), {'os': __import__('os')})"

# Everything by which the reference in `ref` might be had to evaluate its text, or to show its code.
WAYS = """
found = []
given = [(), ({}, {}), ({}, {}, frozenset()), ({}, {}, ())]
named = [{}, {"recursive_guard": frozenset()}, {"type_params": ()}, {"type_params": (), "recursive_guard": frozenset()}]
for name in ("_evaluate", "evaluate"):
    for owner in (ref, type(ref)):
        for get in (getattr, lambda thing, name: object.__getattribute__(thing, name), lambda thing, name: type(thing).__dict__[name]):
            for first in ((), (ref,)):
                for args in given:
                    for kw in named:
                        try:
                            found.append(get(owner, name)(*first, *args, **kw))
                        except (AttributeError, TypeError, KeyError, IndexError):
                            pass
for name in ("__forward_code__", "__code__", "__globals__", "__cell__", "__owner__"):
    try:
        found.append(getattr(ref, name))
    except AttributeError:
        pass
assert str(ref).startswith("ForwardRef(%r" % text) and ref == ref and hash(ref) == hash(ref) and ref.__forward_arg__ == text
reached = found
assert not found, found
"""

REFERENCES = {
    "an alias": "from typing import Optional\nref = Optional[text].__args__[0]",
    "a list": "from typing import List\nref = List[text].__args__[0]",
    "a bound": "from typing import TypeVar\nref = TypeVar('T', bound=text).__bound__",
    "a base class": "from typing import Generic, TypeVar\nclass C(Generic[TypeVar('T')]): pass\nref = C[text].__args__[0]",
    "a named tuple": "from typing import NamedTuple\nref = NamedTuple('P', [('x', text)]).__annotations__['x']",
}
SYNTAX = {
    "class C[T]": "class C[T]: pass\nref = C[text].__args__[0]",
    "class C[*T]": "class C[*T]: pass\nref = C[text].__args__[0]",
    "an alias of an alias": "class C[T]: pass\ntype A[T] = C[T]\nref = A[int].__value__[text].__args__[0]",
    "type parameters of a function": "def f[T: int](): pass\nclass C[T]: pass\nref = C[f.__type_params__[0]][text].__args__[0]",
}


def version(python: str) -> tuple[int, int]:
    shown = subprocess.run([python, "-c", "import sys; print(*sys.version_info[:2])"], capture_output=True, text=True, check=True)
    major, minor = shown.stdout.split()
    return int(major), int(minor)


def with_typing(*features: str) -> Any:
    config = SandboxConfig("stdout", *features)
    config.allow_safe_module("typing", "Optional", "List", "TypeVar", "Generic", "NamedTuple")
    return config


@pytest.mark.parametrize("name", REFERENCES)
def test_a_text_that_typing_keeps_is_not_evaluated(run: Run, name: str) -> None:
    outcome = run(with_typing(), f"text = {TEXT!r}\n{REFERENCES[name]}\n{WAYS}")
    assert outcome.error is None, outcome.text
    assert not outcome.reached


@pytest.mark.parametrize("name", SYNTAX)
def test_a_text_that_syntax_keeps_is_not_evaluated(run: Run, python: str, name: str) -> None:
    if version(python) < (3, 12):
        pytest.skip("type parameters are syntax from CPython 3.12 on")
    outcome = run("stdout", f"text = {TEXT!r}\n{SYNTAX[name]}\n{WAYS}")
    assert outcome.error is None, outcome.text
    assert not outcome.reached


def test_scopes_of_type_parameters_are_the_programs(run: Run, python: str) -> None:
    if version(python) < (3, 12):
        pytest.skip("type parameters are syntax from CPython 3.12 on")
    source = """
def names(): return sorted(globals().keys() & {"names", "__builtins__", "A", "os", "sys"})
type A = [globals() is own, eval("1 + 1"), [*locals()], names()]
own = globals()
class C[T: eval("own")]: pass
def f[T: (globals(), own)](): return T
assert A.__value__ == [True, 2, [], ["A", "__builtins__", "names"]], A.__value__
assert C.__type_params__[0].__bound__ is own
assert f().__constraints__ == (own, own)
"""
    outcome = run("stdout", source)
    assert outcome.error is None, outcome.text


# ---- Groups of errors -------------------------------------------------------------------------------------------------

GROUP = """
class Group(ExceptionGroup):
    def derive(self, errors):
        return Group(self.message, errors)
def caught(group):
    left = None
    try:
        try:
            raise group
        except* ValueError as error:
            found = error
    except ExceptionGroup as error:
        left = error
    return found, left
"""
BAD = "lambda self, condition: ('not', 'groups')"
TRICKS = {
    "a method": f"class G(Group): split = {BAD}\ncaught(G('g', [ValueError()]))",
    "a method of a class beside it": f"class M: split = {BAD}\nclass G(M, ExceptionGroup): pass\ncaught(G('g', [ValueError()]))",
    "a method that comes late": f"g = Group('g', [ValueError()])\nGroup.split = {BAD}\ncaught(g)",
    "one that comes late, beside it": f"class M: pass\nclass G(M, Group): pass\ng = G('g', [ValueError()])\nM.split = {BAD}\ncaught(g)",
    "an attribute": f"g = Group('g', [ValueError()])\ng.split = {BAD}\ncaught(g)",
    "an attribute of a builtin group": f"g = ExceptionGroup('g', [ValueError()])\ng.split = {BAD}\ncaught(g)",
    "an attribute by its dictionary": f"g = Group('g', [ValueError()])\ng.__dict__['split'] = {BAD}\ncaught(g)\nraise TypeError",
    "the builtin class": f"ExceptionGroup.split = {BAD}\ncaught(ExceptionGroup('g', [ValueError()]))",
    "the builtin base class": f"BaseExceptionGroup.split = {BAD}\ncaught(ExceptionGroup('g', [ValueError()]))",
    "what looks attributes up": f"class G(Group):\n    def __getattribute__(self, name): return {BAD}\ncaught(G('g', [ValueError()]))",
    "what looks attributes up, late": f"g = Group('g', [ValueError()])\nGroup.__getattribute__ = lambda self, name: {BAD}\ncaught(g)",
    "another class": f"class H(Group): split = {BAD}\ng = Group('g', [ValueError()])\ng.__class__ = H\ncaught(g)",
    "made by the base class": f"class G(Group): split = {BAD}\ncaught(BaseExceptionGroup.__new__(G, 'g', [ValueError()]))",
    "made by another base class": f"class G(Group): split = {BAD}\ncaught(Exception.__new__(G, 'g', [ValueError()]))",
    "made by object": f"class G(Group): split = {BAD}\ncaught(object.__new__(G))",
    "made in derive": f"class G(Group):\n    split = {BAD}\nclass F(Group):\n    def derive(self, errors): return G('g', errors)\n"
    "caught(F('g', [ValueError(), TypeError()]))",
    "a metaclass": f"class M(type):\n    def __call__(cls, *args):\n        made = super().__call__(*args)\n        cls.split = {BAD}\n"
    "        return made\nclass G(Group, metaclass=M): pass\ncaught(G('g', [ValueError()]))",
    "a metaclass with an order of its own": f"class S: split = {BAD}\nclass M(type):\n    def mro(cls): return (cls, S, ExceptionGroup, "
    "BaseExceptionGroup, Exception, BaseException, object)\nclass G(ExceptionGroup, metaclass=M): pass\ncaught(G('g', [ValueError()]))",
}  # fmt: skip


def test_a_group_cannot_say_how_it_is_split(run: Run) -> None:
    rows = [f"attempt({name!r}, {trick!r})" for name, trick in TRICKS.items()]
    attempt = f"""
def attempt(name, trick):
    space = {{}}
    exec({GROUP!r}, space)
    try:
        exec(trick, space)
        said = None
    except Exception as error:
        said = type(error).__name__
    print((name, said))
"""
    outcome = run(SandboxConfig("stdout", "exit"), "\n".join([attempt, *rows]))
    assert outcome.error is None, outcome.text
    said = dict(ast.literal_eval(line) for line in outcome.stdout.splitlines())
    assert list(said) == list(TRICKS)
    assert {name: error for name, error in said.items() if error not in ("SandboxError", "TypeError", "AttributeError")} == {}


def test_groups_of_a_programs_own_classes_are_split(run: Run) -> None:
    source = (
        GROUP
        + """
class Named(Group):
    kind = "own"
    def __init__(self, message, errors):
        self.seen = len(errors)
    def derive(self, errors):
        return Named(self.message, errors)
    @property
    def first(self): return self.exceptions[0]
for kind in ExceptionGroup, Group, Named:
    found, left = caught(kind("g", [ValueError(1), TypeError(2), kind("h", [ValueError(3)])]))
    assert type(found) is kind and type(left) is kind and found.message == left.message == "g"
    assert [type(one) for one in left.exceptions] == [TypeError] and len(found.exceptions) == 2
    assert left.split(TypeError)[0].exceptions == left.exceptions and found.subgroup(TypeError) is None
assert Named("g", [ValueError()]).seen == 1 and Named.kind == "own" and type(left.first) is TypeError
assert callable(ExceptionGroup.split) and ExceptionGroup.split(left, TypeError)[1] is None
left.more = 1
assert left.more == 1
"""
    )
    outcome = run("stdout", source)
    assert outcome.error is None, outcome.text
