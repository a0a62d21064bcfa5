"""A program whose functions and classes travel: every kind of them, with what the call must come to. Run by test_code_travels.py on each
interpreter: travelling.py open|language|everyday. Prints what was not as it should be, as JSON, and how many cases there were."""

from __future__ import annotations

import abc
import collections
import contextlib
import dataclasses
import enum
import functools
import json
import math
import operator
import os
import random
import re
import statistics
import sys
import textwrap
import threading
import types
import typing
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import travelling_helper

import belljar


class Point:
    kind = "point"
    table = {"a": [1]}

    def __init__(self, x: int) -> None:
        self.x = x
        self._y = x

    def get(self) -> int:
        return self.x + self._y

    @classmethod
    def make(cls, x: int) -> Point:
        return cls(x)

    @staticmethod
    def twice(x: int) -> int:
        return 2 * x

    @property
    def double(self) -> int:
        return self.x * 2

    @functools.lru_cache  # noqa: B019
    def cached(self) -> int:
        return self.x

    def is_point(self) -> bool:
        return isinstance(self, Point)

    def unused(self) -> Any:
        return threading.Thread  # which no language policy here allows: nobody asks for it


class Further(Point):
    def __init__(self, x: int) -> None:
        super().__init__(x + 1)


class Slotted:
    __slots__ = ("a", "b")

    def __init__(self) -> None:
        self.a = 1


class Mine(ValueError):
    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text


class Color(enum.Enum):
    RED = 1
    GREEN = 2
    ROUGE = 1

    def low(self) -> str:
        return self.name.lower()


class Planet(enum.Enum):
    EARTH = (1, 2)

    def __init__(self, mass: int, radius: int) -> None:
        self.mass, self.radius = mass, radius

    @property
    def gravity(self) -> float:
        return self.mass / self.radius


class Access(enum.Flag):
    READ = 1
    WRITE = 2


class Level(enum.IntEnum):
    LOW = 1


class Word(str, enum.Enum):
    A = "a"


@dataclasses.dataclass
class Row:
    a: int
    b: list[int] = dataclasses.field(default_factory=list)
    c: str = "x"


@dataclasses.dataclass(frozen=True, order=True)
class Frozen:
    a: int = 1


@dataclasses.dataclass(slots=True, kw_only=True)
class Tight:
    a: int


class Meta(type):
    def __new__(mcs, name: str, bases: tuple[type, ...], body: dict[str, Any]) -> Any:
        body["made"] = name
        return super().__new__(mcs, name, bases, body)

    def hello(cls) -> str:
        return cls.__name__


class WithMeta(metaclass=Meta):
    pass


class Registry:
    names: list[str] = []

    def __init_subclass__(cls, key: str = "") -> None:
        Registry.names.append(key)


class Registered(Registry, key="k"):
    pass


class Shape(abc.ABC):
    @abc.abstractmethod
    def area(self) -> int:
        ...


class Square(Shape):
    def area(self) -> int:
        return 4


Pair = collections.namedtuple("Pair", "x y")


class Adder:
    def __init__(self, n: int) -> None:
        self._n = n

    def __call__(self, x: int) -> int:
        return x + self._n


class Stored:
    def __set_name__(self, owner: type, name: str) -> None:
        self.name = "_" + name

    def __get__(self, instance: Any, owner: type) -> Any:
        return self if instance is None else getattr(instance, self.name, 0)

    def __set__(self, instance: Any, value: Any) -> None:
        setattr(instance, self.name, value)


class HasStored:
    field = Stored()


class Node:
    """A class that refers to itself by a class attribute, and two classes to each other."""

    def other(self) -> Other:
        return Other()


class Other:
    def back(self) -> Node:
        return Node()


Node.first = Node()  # type: ignore[attr-defined]


def apply(function: Callable[..., Any], *arguments: Any, **keywords: Any) -> Any:
    return function(*arguments, **keywords)


def helper(x: int) -> int:
    return x * 10


def recursive(n: int) -> int:
    return n and 1 + recursive(n - 1)


def make_recursive() -> Callable[[int], int]:
    def inner(n: int) -> int:
        return n and 1 + inner(n - 1)

    return inner


def make_mutual() -> Callable[[int], bool]:
    def even(n: int) -> bool:
        return True if n == 0 else odd(n - 1)

    def odd(n: int) -> bool:
        return False if n == 0 else even(n - 1)

    return even


def make_unset() -> Callable[[bool], Any]:
    def reader(wanted: bool) -> Any:
        return never if wanted else 7

    if not reader:
        never = 1
    return reader


def own_default(n: int, again: Any = None) -> int:
    return n and 1 + again(n - 1)


own_default.__defaults__ = (own_default,)


def make_counter() -> tuple[Callable[[], int], Callable[[], int]]:
    n = 0

    def add() -> int:
        nonlocal n
        n += 1
        return n

    def get() -> int:
        return n

    return add, get


add, get = make_counter()


def logged(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def inner(*arguments: Any) -> Any:
        return "logged", function(*arguments)

    return inner


@logged
def decorated(x: int) -> int:
    return x


@functools.lru_cache(None)
def fib(n: int) -> int:
    return n if n < 2 else fib(n - 1) + fib(n - 2)


def numbers(n: int) -> Iterator[int]:
    yield from range(n)


async def later(x: int) -> int:
    return x + 1


async def stream() -> AsyncIterator[int]:
    yield 1


async def uses_stream() -> list[int]:
    return [n async for n in stream()]


@contextlib.contextmanager
def managed() -> Iterator[int]:
    yield 5


def uses_managed() -> int:
    with managed() as value:
        return value


def counted() -> int:
    add()
    add()
    return get()


def raises() -> tuple[str, bool]:
    try:
        raise Mine("text")
    except Mine as error:
        return error.text, isinstance(error, ValueError)


def rows() -> Any:
    row = Row(1)
    row.b.append(2)
    return (
        row.a,
        row.b,
        row == Row(1, [2]),
        repr(row),
        Frozen(1) < Frozen(2),
        repr(Frozen()),
        hash(Frozen()) == hash(Frozen()),
        Tight(a=3).a,
    )


def freezes() -> str:
    try:
        Frozen().a = 2  # type: ignore[misc]
    except AttributeError:
        return "frozen"
    return "changed"


def colors() -> Any:
    return (Color.RED is Color(1), Color["GREEN"].low(), Color.ROUGE is Color.RED, [color.name for color in Color], Planet.EARTH.gravity,
            Access.READ | Access.WRITE == Access(3), Level.LOW + 1, Word.A == "a", {Color.RED: 1}[Color.RED])  # fmt: skip


def stored() -> int:
    has = HasStored()
    has.field = 3
    return has.field


@functools.total_ordering
class Ordered:
    def __init__(self, n: int) -> None:
        self.n = n

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Ordered) and self.n == other.n

    def __lt__(self, other: Ordered) -> bool:
        return self.n < other.n


class Words(dict[str, int]):
    def more(self) -> int:
        return len(self) + 1


class Named(typing.NamedTuple):
    a: int
    b: str = "x"

    def twice(self) -> int:
        return 2 * self.a


class Auto(enum.Enum):
    A = enum.auto()

    @classmethod
    def _missing_(cls, value: object) -> Auto:
        return cls.A


WORD = re.compile("a+")
TABLE: dict[str, Any] = {"f": helper, "E": ValueError, "T": int, "P": Point, "l": [1]}


def uses_table() -> Any:
    return TABLE["f"](2), isinstance(1, TABLE["T"]), TABLE["P"](3).get(), TABLE["l"][0], issubclass(Mine, TABLE["E"])


def make_holder(thing: Any) -> Callable[[], Any]:
    def holder() -> Any:
        return thing

    return holder


point = Point(5)
callback = Point(6).get
closed = open(os.devnull)  # noqa: SIM115

# name: (what it must come to, the call)
CASES: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "function as an argument": (20, (apply, helper, 2)),
    "class as an argument": (4, (lambda cls: cls(2).get(), Point)),
    "class as a global": ((True, True, 2, "point", 6, 8, 1), (lambda: (Point(1).is_point(), isinstance(Further(1), Point), Further(1).x, Point.kind,
                                                                      Point.make(3).double, Point.twice(4), Point(1).cached()),)),
    "a class derived there": (2, (lambda: type("R", (Point,), {})(1).get(),)),
    "slots": ((1, False), (lambda: (Slotted().a, hasattr(Slotted(), "b")),)),
    "exception": (("text", True), (raises,)),
    "exception as an argument": (True, (lambda kind: issubclass(kind, ValueError) and isinstance(kind("x"), kind), Mine)),
    "dataclass": ((1, [2], True, "Row(a=1, b=[2], c='x')", True, "Frozen(a=1)", True, 3), (rows,)),
    "frozen dataclass": ("frozen", (freezes,)),
    "enum": ((True, "green", True, ["RED", "GREEN"], 0.5, True, 2, True, 1), (colors,)),
    "enum as an argument": ("RED", (lambda kind: kind(1).name, Color)),
    "metaclass": (("WithMeta", "WithMeta"), (lambda: (WithMeta.made, WithMeta.hello()),)),
    "__init_subclass__": (("Registered", 1), (lambda: (Registered.__name__, len(Registry.names)),)),
    "abstract class": ((4, False), (lambda: (Square().area(), issubclass(int, Shape)),)),
    "namedtuple": ((1, 5), (lambda: (Pair(1, 2).x, Pair(1, 2)._replace(x=5).x),)),
    "callable object": (7, (Adder(3), 4)),
    "callable object as an argument": (7, (apply, Adder(3), 4)),
    "descriptor": (3, (stored,)),
    "classes that refer to each other": (True, (lambda: isinstance(Node().other().back(), Node),)),
    "recursion by a global": (5, (recursive, 5)),
    "recursion by a closure": (5, (make_recursive(), 5)),
    "mutual recursion by closures": (True, (make_mutual(), 4)),
    "recursion by a default": (4, (own_default, 4)),
    "unset cell": (7, (make_unset(), False)),
    "shared cell": (2, (counted,)),
    "decorated": (("logged", 1), (decorated, 1)),
    "lru_cache": (55, (fib, 10)),
    "generator function": ([0, 1, 2], (lambda: list(numbers(3)),)),
    "async def": (2, (later, 1)),
    "async generator": ([1], (uses_stream,)),
    "bound method": (6, (Point(3).get,)),
    "bound method as a global": (12, (lambda: callback(),)),
    "classmethod": (3, (lambda make: make(3).x, Point.make)),
    "partial": (30, (functools.partial(helper, 3),)),
    "partial as an argument": (30, (apply, functools.partial(apply, helper), 3)),
    "itemgetter": ((2, 1), (operator.itemgetter(1, 0), [1, 2])),
    "attrgetter as an argument": (3, (apply, operator.attrgetter("real"), 3)),
    "methodcaller": (b"x", (operator.methodcaller("encode", errors="strict"), "x")),
    "builtin": (8, (pow, 2, 3)),
    "builtin as an argument": (3, (apply, len, "abc")),
    "builtin type as an argument": (3, (apply, int, "3")),
    "method of a builtin type": ("A", (apply, str.upper, "a")),
    "in a dict": (20, (lambda names: names["f"](2), {"f": helper})),
    "builtins in a dict": ((True, True), (lambda names: (issubclass(names["E"], ValueError), isinstance(1, names["T"])), {"E": ValueError, "T": int})),
    "in a nest": (20, (lambda things: things[0]["x"][0](2), [{"x": (helper,)}])),
    "in a set": ([1, 10], (lambda things: sorted(one(1) for one in things), {helper, abs})),
    "in a global dict": ((20, True, 6, 1, True), (uses_table,)),
    "C function": (2.0, (apply, math.sqrt, 4)),
    "module of the program": ((14, 5, 6, 4), (lambda: (travelling_helper.double(2), travelling_helper.Kept().value(), travelling_helper.Kept().kept,
                                                      travelling_helper.Kept().more()),)),
    "function of a module of the program": (16, (apply, travelling_helper.double, 3)),
    "the same thing twice": (True, (lambda one, two: one is two, Point, Point)),
    "the same as global and argument": ((True, True), (lambda cls, function: (cls is Point, function is helper), Point, helper)),
    "object as an argument": ((5, False, False, False), (lambda p: (p.x, hasattr(p, "_y"), hasattr(p, "get"), hasattr(p, "double")), point)),
    "total_ordering": (True, (lambda: Ordered(1) <= Ordered(2),)),
    "class derived from a builtin": ((2, 1), (lambda: (Words(a=1).more(), Words(a=1)["a"]),)),
    "typing.NamedTuple": ((2, "x"), (lambda: (Named(1).twice(), Named(1).b),)),
    "enum with auto and _missing_": ((1, True), (lambda: (Auto.A.value, Auto("other") is Auto.A),)),
    "type of None": (True, (lambda kind: isinstance(None, kind), type(None))),
    "namespace": (1, (lambda names: names.a, types.SimpleNamespace(a=1))),
    "mapping proxy": (2, (lambda names: names["f"](-2), types.MappingProxyType({"f": abs}))),
    "attributes of a function": ("text", (lambda: documented.note,)),
}  # fmt: skip


def documented() -> None:
    pass


documented.note = "text"  # type: ignore[attr-defined]

# Where there are two answers: without a language policy, and under one.


def evaluates(a: int) -> list[int]:
    names: dict[str, int] = {"a": a}
    exec("b = a + 3", names)
    return [eval("a + 2"), names["b"]]


def looks_about() -> list[Any]:
    a = "helper" in globals()
    return [a, list(locals()), list(vars()), dir()]


class Plain:
    def __init__(self, x: int) -> None:
        self.x = x

    def get(self) -> int:
        return self.x

    @classmethod
    def make(cls, x: int) -> Plain:
        return cls(x)


class Derived(Plain):
    def __init__(self, x: int) -> None:
        super().__init__(x)
        self.y = x + 1

    def get(self) -> int:
        return super().get() + self.y

    @property
    def tenfold(self) -> int:
        return super().get() * 10

    @classmethod
    def make(cls, x: int) -> Plain:
        return super().make(x)


def derives() -> list[int]:
    class Inner(Derived):
        def get(self) -> int:
            return super().get()

    return [Derived(3).get(), Derived.make(4).get(), Derived(2).tenfold, Inner(3).get()]


class Sure(enum.Enum):
    YES = 1

    @classmethod
    def _missing_(cls, value: object) -> Sure:
        return cls.YES

    def __repr__(self) -> str:
        return "S" + super().__repr__()


@dataclasses.dataclass
class Less:
    x: int
    y: int = 0

    def total(self) -> int:
        return self.x + self.y


@dataclasses.dataclass
class More(Less):
    w: int = 9

    def total(self) -> int:
        return super().total() + self.w


Kind = typing.TypeVar("Kind")


class Holds(typing.Generic[Kind]):
    def __init__(self, value: Kind) -> None:
        self.value = value


async def waits_not() -> int:
    return 2


OPEN: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "object as a global": ((5, 10), (lambda: (point.x, point.get()),)),
    "contextmanager": (5, (uses_managed,)),
    "function of the library": (1.5, (statistics.mean, [1, 2])),
    "method that a module calls its own": (True, (lambda draw: 0 <= draw() < 1, random.random)),
    "pattern": ("aa", (lambda: WORD.match("aab").group(),)),
    "fields": (["a", "b", "c"], (lambda: [field.name for field in dataclasses.fields(Row)],)),
    "module of a package": ("b", (lambda: os.path.basename("/a/b"),)),
}  # fmt: skip
ACTS: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "eval and exec": ([3, 4], (evaluates, 1)),
    "eval by C code": ([2, 3], (lambda: list(map(eval, ["1 + 1", "3"])),)),
    "globals, locals, vars, dir": ([False, ["a"], ["a"], ["a"]], (looks_about,)),
    "super() in methods, properties and classes": ([7, 9, 20, 7], (derives,)),
    "super() in an enumeration": ("S<Sure.YES: 1>", (lambda: repr(Sure(9)),)),
    "super() in a dataclass": (12, (lambda: More(1, 2).total(),)),
    "generic class": ((3, 4), (lambda: (Holds(3).value, Holds[int](4).value),)),
    "coroutine": (2, (waits_not,)),
}
LANGUAGE: dict[str, tuple[Any, tuple[Any, ...]]] = {
    **ACTS,
    "object as a global": ((5, False), (lambda: (point.x, hasattr(point, "get")),)),
    "contextmanager": (ImportError('Import "contextlib" blocked by the sandbox; to permit it: the feature everyday'), (uses_managed,)),
    "function of the library": (ImportError('Import "statistics" blocked by the sandbox; to permit it: the feature everyday'), (statistics.mean, [1, 2])),
    "method that a module calls its own": (ImportError('Import "random" blocked by the sandbox; to permit it: the feature random or everyday'), (apply, random.random)),
    "itemgetter": (ImportError('Import "operator" blocked by the sandbox; to permit it: the feature everyday'), (operator.itemgetter(1), [1, 2])),
    "attrgetter as an argument": (ImportError('Import "operator" blocked by the sandbox; to permit it: the feature everyday'), (apply, operator.attrgetter("real"), 3)),
    "methodcaller": (ImportError('Import "operator" blocked by the sandbox; to permit it: the feature everyday'), (operator.methodcaller("upper"), "x")),
    "pattern": (ImportError('Import "re" blocked by the sandbox; to permit it: the feature regex or everyday'), (lambda: WORD.match("aab").group(),)),
    "what is not allowed and not used": (1, (lambda wanted: os.getcwd() if wanted else 1, False)),
    "what is not allowed and used": (ImportError('Import "os" blocked by the sandbox; to permit it: allow_module("os", …) for views, '
                                                 'allow_safe_module("os", …) for the things themselves'), (lambda wanted: os.getcwd() if wanted else 1, True)),
    "builtin that is not there": (belljar.SandboxError("argument 1 → builtin input is not among the builtins of the policy: config.builtins_whitelist "
                                                       "has them, and features that add to them"), (apply, input)),
    "symbol that is not there": (belljar.SandboxError("argument 1 → textwrap.fill is not among what the policy allows: config.allow_module('textwrap', "
                                                      "'fill') does"), (apply, textwrap.fill, "a")),
}  # fmt: skip

# Under a language policy with the library that programs import, what acts on the calling frame finds the program's.
EVERYDAY: dict[str, tuple[Any, tuple[Any, ...]]] = {
    **ACTS,
    **{
        name: OPEN[name]
        for name in ("contextmanager", "function of the library", "method that a module calls its own", "pattern", "fields")
    },
    "asdict": ({"x": 1, "y": 0, "w": 9}, (lambda: dataclasses.asdict(More(1)),)),
    "replace": (13, (lambda: dataclasses.replace(More(1, 2), w=10).total(),)),
    **{name: LANGUAGE[name] for name in ("object as a global", "what is not allowed and not used", "what is not allowed and used")},
}

MAKE = "make it inside the function, or hand in what it holds"
REFUSED: dict[str, tuple[str, tuple[Any, ...]]] = {
    "open file as an argument": (f"argument 2 → open file cannot be sent to a sandbox: {MAKE}", (apply, helper, closed)),
    "open file in a closure": (f"holder → closure thing → open file cannot be sent to a sandbox: {MAKE}", (make_holder(closed),)),
    "open file in a dict": (f"holder → closure thing → ['k'] → [1] → open file cannot be sent to a sandbox: {MAKE}", (make_holder({"k": [1, closed]}),)),
    "open file by another function": (f"apply → open file cannot be sent to a sandbox: {MAKE}".replace("apply", "argument 1 → closure thing"),
                                      (apply, make_holder(closed))),
    "open file as a global": (f"<lambda> → global closed → open file cannot be sent to a sandbox: {MAKE}", (lambda: closed,)),
    "generator in a closure": (f"holder → closure thing → a generator cannot be sent to a sandbox: {MAKE}", (make_holder(numbers(2)),)),
    "method of a list": ("argument 1 → method list.append cannot be sent to a sandbox: it would act on an object of this program's; write a function "
                         "that makes the call, and hand in what it needs, or expose it", (apply, [].append)),
}  # fmt: skip


def come_to(call: tuple[Any, ...], sandbox: Any) -> Any:
    try:
        return sandbox.call(*call)
    except Exception as error:
        return error


def is_as_it_should(found: Any, wanted: Any) -> bool:
    if isinstance(wanted, Exception):
        return isinstance(found, type(wanted)) and str(found) == str(wanted)
    return not isinstance(found, Exception) and bool(found == wanted)


def main() -> None:
    which = sys.argv[1]
    if which == "open":
        sandbox = belljar.Sandbox(belljar.Policy(timeout=30), python=sys.executable)
    elif which == "everyday":
        sandbox = belljar.Sandbox(belljar.SandboxConfig("everyday"), python=sys.executable)
    else:
        config = belljar.SandboxConfig("math", recursion_limit=200, max_input_size=1 << 20)
        config.allow_module("textwrap", "dedent")
        sandbox = belljar.Sandbox(config, python=sys.executable)
    cases = {**CASES, **{"open": OPEN, "language": LANGUAGE, "everyday": EVERYDAY}[which]}
    cases.update((name, (belljar.SandboxError(text), call)) for name, (text, call) in REFUSED.items())
    wrong = {}
    with sandbox:
        for name, (wanted, call) in cases.items():
            found = come_to(call, sandbox)
            if not is_as_it_should(found, wanted):
                wrong[name] = f"{found!r}, not {wanted!r}"
    print(json.dumps({"cases": len(cases), "wrong": wrong}))


if __name__ == "__main__":
    main()
