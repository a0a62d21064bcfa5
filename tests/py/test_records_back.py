"""Named tuples, members of enumerations and frozen dataclasses that were handed in come back as the host's own, and nothing else does."""

from __future__ import annotations

import collections
import dataclasses
import decimal
import enum
import typing

import pytest

from belljar import Policy, Record, Sandbox, SandboxConfig

core = pytest.mark.core
Point = collections.namedtuple("Point", "x y")


class Line(typing.NamedTuple):
    start: Point
    end: Point


class Color(enum.Enum):
    RED = 1
    MIXED = (1, "x")


class Level(enum.IntEnum):
    LOW = 1


@dataclasses.dataclass(frozen=True)
class Price:
    amount: decimal.Decimal


@dataclasses.dataclass
class Basket:
    size: int


@dataclasses.dataclass(frozen=True, eq=False)
class Ticket:
    number: int


class Odd(enum.Enum):
    ONE = 1
    asked: typing.ClassVar[list[object]]

    def __hash__(self):
        Odd.asked.append(self)
        return 1

    def __eq__(self, other):
        Odd.asked.append(other)
        return True


Odd.asked = []
Hidden = typing.NamedTuple("Hidden", [("x", int)])
Hidden._fields = ("_x",)
COMES = {"point": Point(1, 2.5), "line": Line(Point(1, 2.5), Point(3, "4")), "red": Color.RED, "mixed": Color.MIXED, "low": Level.LOW,
         "price": Price(decimal.Decimal("1.50"))}  # fmt: skip
STAYS = {"basket": Basket(3), "ticket": Ticket(4), "full": Point(1, [2]), "hidden": Hidden(5)}
POSITIONS = {
    "itself": ("{}", lambda found: [found]), "in a list": ("[{}]", list), "in a tuple": ("(1, ({},))", lambda found: found[1]),
    "a value": ("{{'k': {}}}", lambda found: [found["k"]]), "twice": ("[{0}, {0}, [{0}]]", lambda found: [*found[:2], *found[2]]),
}  # fmt: skip
HASHED = {
    "in a set": ("{{{}}}", list),
    "a key": ("{{{}: 1}}", list),
    "in a key": ("{{(1, {}): 2}}", lambda found: [key[1] for key in found]),
}


@pytest.fixture(scope="module", params=["open", "language"])
def session(request):
    with Sandbox(Policy(timeout=30) if request.param == "open" else SandboxConfig("everyday")) as session:
        for name, value in {**COMES, **STAYS, "odd": Odd.ONE}.items():
            session[name] = value
        session["within"] = {"k": [COMES["point"], Color.RED]}
        session.expose(lambda *args, **kw: session.seen.append((*args, *kw.values())), "tell")
        session.expose(lambda: [Level.LOW, Point(7, 8)], "ask")
        yield session


def answers(session, text, take):
    session.seen = []
    execution = session.run_code(f"tell({text}, named={text})\nresult = {text}\n{text}")
    assert execution.error is None, execution.error.traceback
    return [found for answer in (*session.seen[0], execution.value, session["result"]) for found in take(answer)]


@core
@pytest.mark.parametrize("position", [*POSITIONS, *HASHED])
@pytest.mark.parametrize("name", COMES)
def test_a_record_that_was_handed_in_comes_back_as_it(session, name, position):
    form, take = {**POSITIONS, **HASHED}[position]
    for found in answers(session, form.format(name), take):
        if position in HASHED and not isinstance(COMES[name], Color):  # a plain value may be equal to it in the same set
            assert type(found) is Record
        else:
            assert found is COMES[name]


@core
@pytest.mark.parametrize("position", POSITIONS)
@pytest.mark.parametrize("name", STAYS)
def test_what_can_change_or_is_not_all_shown_comes_back_as_a_record(session, name, position):
    form, take = POSITIONS[position]
    assert all(type(found) is Record for found in answers(session, form.format(name), take))


@core
def test_no_code_of_a_class_runs_for_it(session):
    Odd.asked.clear()
    found = answers(session, "[odd, {odd}]", lambda found: [found[0], *found[1]])
    assert [type(one) for one in found] == [Odd, Record] * 4 and Odd.asked == []


@core
def test_parts_and_answers_of_host_functions_come_back_as_well(session):
    assert session.run_code("line.start, within['k'][1], within['k'][0]").value == (Point(1, 2.5), Color.RED, Point(1, 2.5))
    assert session.run_code("line.start").value is COMES["point"] and session.run_code("line.end").value == Point(3, "4")
    session.seen = []
    assert session.run_code("low, seven = ask()\ntell(low, seven)").error is None
    assert session.seen[0][0] is Level.LOW and session.seen[0][1] == Point(7, 8) and type(session.seen[0][1]) is Point


@core
def test_nothing_of_a_class_is_made_that_was_not_handed_in(session):
    made = "from collections import namedtuple\nPoint = namedtuple('Point', 'x y')\nPoint.__module__ = {!r}\n".format(__name__)
    for values in ("1, 9", "True, 2.5", "1.0, 2.5", "1, '2.5'", "[1], 2.5"):
        assert type(session.run_code(f"{made}Point({values})").value) is Record, values
