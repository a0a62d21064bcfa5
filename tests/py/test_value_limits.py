"""What a guest sends is limited as a whole before dicts, sets, json, pandas or event loops of the host touch it: attacks that
took gigabytes or hours, each beside the nearest thing that is permitted. (The dearest values: test_value_costs.py.)"""

from __future__ import annotations

import asyncio
import collections
import dataclasses
import decimal
import enum
import json
import pathlib
import time

import pytest

import belljar
from belljar import Policy, ProtocolError, Sandbox
from belljar._core import core
from belljar._execution import JSON_BYTES_MAX, SHOWN_BYTES_MAX, Shows, make_result
from belljar._proxy import Handles, Refused, _Rules
from belljar._session import OUTSTANDING_MAX
from belljar.values import Record

PYTHON = "/usr/bin/python3"
P = 2**61 - 1  # hashes of numbers are residues of it


def soon(seconds=4.0):
    """A time that all of this takes a hundredth of, on an idle machine."""
    began = time.process_time()
    return lambda: time.process_time() - began < seconds


# ---- Dicts that the host puts together ----------------------------------------------------------------------------


def test_equal_hashes_end_to_end(template):
    say = (pathlib.Path(__file__).parent.parent / "limits" / "attacks" / "_say.py").read_text()
    with Sandbox(template=template, files={"say.py": say}) as sandbox:
        sandbox.expose(lambda *rest, **names: len(rest), "f")
        sandbox["view"] = belljar.readonly([1])
        assert sandbox.run_code("f({2**61 + n: None for n in range(2000)} | {'view': view})").value == 1
        fast = soon()
        code = f"""
exec(open('/work/say.py').read())
keys = b''.join(whole(2**61 + n * {P}) + b'\\x00' for n in range(50_000))
ask(head(4, 4) + head(4, 0) + text(b'f') + head(4, 1) + head(5, 50_000) + keys + b'\\xa0', 1000)
os.read(3, 1)"""
        with pytest.raises(ProtocolError, match="equal hashes"):
            raise AssertionError(sandbox.run_code(code))
        assert fast()


def doubled(depth, make=lambda one: [one, one]):
    value = make(0)
    for _ in range(depth):
        value = make(value)
    return value


# ---- What is compared with objects of the host's ------------------------------------------------------------------


def operate(thing, operation, *arguments):
    handles = Handles()
    number = handles.give(thing, _Rules(None, None, (), ()))[1]
    return handles.operate(number, operation, list(arguments), {})


LONG = 2**1_000_000
DEEP = doubled(100)
OPERANDS = [
    ("in, a long int beside Decimals", [decimal.Decimal(n) / 7 for n in range(1000)], "contains", LONG),
    ("in, a long Decimal", [2**4000] * 1000, "contains", decimal.Decimal("9" * 100_000)),
    ("in, within a tuple", [(decimal.Decimal(1),)] * 1000, "contains", (LONG,)),
    ("==, a list of long ints", [decimal.Decimal(1)] * 1000, "compare", "eq", [LONG] * 1000),
    ("index", [decimal.Decimal(n) for n in range(1000)], "method", "index", LONG),
    ("get", {decimal.Decimal(n): n for n in range(10)}, "method", "get", LONG),
    ("an item", {1: 2}, "item", LONG),
    ("==, lists within lists", doubled(100), "compare", "eq", DEEP),
    ("isdisjoint, a range without end", {"a"}, "method", "isdisjoint", range(1 << 60)),
    ("issubset, a range without end", {1, 2}, "method", "issubset", range(1 << 60)),
]


@pytest.mark.parametrize(("thing", "operation", "arguments"), [(row[1], row[2], row[3:]) for row in OPERANDS],
                         ids=[row[0] for row in OPERANDS])  # fmt: skip
def test_operands_that_take_long_are_refused(thing, operation, arguments):
    fast = soon()
    with pytest.raises((Refused, ProtocolError)):
        operate(thing, operation, *arguments)
    assert fast()


def test_set_methods_with_equal_hashes_are_refused():
    fast = soon()
    for name in ("issubset", "isdisjoint", "issuperset"):
        with pytest.raises(ProtocolError, match="equal hashes"):
            operate({1, 2}, "method", name, [2**61 + n * P for n in range(50_000)])
    assert fast()


def test_ordinary_operands_are_compared():
    assert operate([decimal.Decimal(1)], "contains", 1) == [0, True]
    assert operate([2**2000], "contains", 2**2000) == [0, True]
    assert operate({1, 2}, "method", "issubset", range(1000)) == [0, True]
    assert operate({1, 2}, "method", "issubset", [1, 2, 3]) == [0, True]
    assert operate({"ab"}, "method", "isdisjoint", "ab") == [0, True]
    assert operate([[1, [2]]], "compare", "eq", [[1, [2]]]) == [0, True]
    assert operate({(1, 2): 3}, "item", (1, 2)) == [0, 3]


# ---- What is displayed --------------------------------------------------------------------------------------------


def test_json_is_counted_before_it_is_parsed():
    shows = Shows()
    data = b"[" + b"[]," * 4_000_000 + b"0]"
    result = make_result([("application/json", data)], shows)
    assert result.json is None and result.extra["application/json"] == data.decode()
    small = make_result([("application/json", json.dumps({"a": list(range(100_000))}).encode())], shows)
    assert len(small.json["a"]) == 100_000


def test_parsed_json_is_counted_for_the_whole_run():
    shows = Shows()
    data = b"[" + b"[]," * 300_000 + b"0]"
    results = [make_result([("application/json", data)], shows) for _ in range(10)]
    parsed = [result for result in results if result.json is not None]
    assert 1 <= len(parsed) <= JSON_BYTES_MAX // (80 * 2 * 300_000)
    assert all(result.extra is not None for result in results if result not in parsed[:])


def test_a_number_of_a_million_digits_stays_text(monkeypatch):
    import sys

    before = sys.get_int_max_str_digits()
    sys.set_int_max_str_digits(0)
    try:
        fast = soon()
        assert make_result([("application/json", b"1" * 4_000_000)], Shows()).json is None
        assert make_result([("application/json", b"1" * 4000)], Shows()).json == int("1" * 4000)
        assert fast()
    finally:
        sys.set_int_max_str_digits(before)


def test_text_is_counted_at_its_width():
    shows, data = Shows(), b"\xff" * (15 << 20) + "\U0001f600".encode()
    taken = [make_result([("text/html", data)], shows) for _ in range(16)]
    assert sum(result is not None for result in taken) == SHOWN_BYTES_MAX // (60 << 20)
    shows = Shows()
    assert all(make_result([("text/html", b"x" * (15 << 20))], shows) is not None for _ in range(16))


def test_many_forms_of_one_display_take_linear_time():
    fast = soon()
    result = make_result([(f"x/{n}", b"") for n in range(200_000)], Shows())
    assert len(result.extra) == 200_000 and fast()


def test_displays_end_to_end(sandbox):
    code = """
class Table:
    def __init__(self, n): self.n = n
    def _repr_json_(self): return "[" + "[]," * self.n + "0]"
display(Table(1000))
for _ in range(4): display(Table(2_000_000))
"""
    seen = []
    ex = sandbox.run_code(code, on_result=seen.append)
    assert ex.verdict == "ok" and len(seen) == 5
    assert len(seen[0].json) == 1001 and all(result.json is None for result in seen[1:])


# ---- Coroutines ---------------------------------------------------------------------------------------------------

FLOOD = """
import os, struct
message = b'\\x84\\x80\\x61f\\x80\\xa0'
payload = lambda n: struct.pack('<III', n, 1, len(message)) + message
answers = bytearray()
os.set_blocking(3, False)
def pump():
    try:
        while data := os.read(3, 1 << 16): answers.extend(data)
    except BlockingIOError: pass
for n in range(1, COUNT + 1):
    data = struct.pack('<II', len(payload(n)), 65) + payload(n)
    while data:
        try: data = data[os.write(3, data):]
        except BlockingIOError: pump()
import time
until = time.monotonic() + 5
while len(answers) < 20 * (COUNT - 64) and time.monotonic() < until: pump()
os.set_blocking(3, True)
'done'
"""


def test_a_guest_that_does_not_wait_has_so_many_tasks_and_none_after_its_run(template):
    most, started, cleaned = 0, 0, 0

    async def main():
        nonlocal most, started, cleaned

        async def f():
            nonlocal started, most, cleaned
            started += 1
            most = max(most, len(asyncio.all_tasks()))
            try:
                await asyncio.sleep(1000)
            finally:
                cleaned += 1

        async with belljar.AsyncSandbox(template=template) as sandbox:
            await sandbox.expose(f)
            before = len(asyncio.all_tasks())
            ex = await sandbox.run_code(FLOOD.replace("COUNT", "20_000"))
            assert ex.verdict == "ok", ex.error
            assert started == cleaned == OUTSTANDING_MAX
            assert len(asyncio.all_tasks()) == before
            assert (await sandbox.run_code("1 + 1")).value == 2  # no late answer is in the way

    asyncio.run(main())
    assert most <= 2 * OUTSTANDING_MAX + 8  # each call is a task that waits for another one


def test_a_host_function_that_does_not_let_itself_be_cancelled_answers_nobody(template):
    async def main():
        async def stubborn():
            for _ in range(3):
                try:
                    await asyncio.sleep(0.4)
                except asyncio.CancelledError:
                    pass
            return "late"

        async with belljar.AsyncSandbox(template=template) as sandbox:
            await sandbox.expose(stubborn, "f")
            began = time.monotonic()
            ex = await sandbox.run_code(FLOOD.replace("COUNT", "1").replace("5\n", "0.1\n"))
            assert ex.verdict == "ok" and time.monotonic() - began < 8
            await asyncio.sleep(1.5)
            assert (await sandbox.run_code("2 + 2")).value == 4

    asyncio.run(main())


def test_calls_that_wait_for_their_answers_are_without_number(template):
    async def main():
        async def f():
            await asyncio.sleep(0)
            return 1

        async with belljar.AsyncSandbox(template=template) as sandbox:
            await sandbox.expose(f)
            assert (await sandbox.run_code("sum(f() for _ in range(500))")).value == 500

    asyncio.run(main())


# ---- What the host shows ------------------------------------------------------------------------------------------


@dataclasses.dataclass
class Account:
    name: str
    _password: str = "secret"


@dataclasses.dataclass(frozen=True)
class Key:
    number: int
    _salt: str = "secret"


Row = collections.namedtuple("Row", ["a", "_1"], rename=True)


class Level(enum.Enum):
    HIGH = Account("level")


class Base:
    token = "secret"  # of the class


class Service(Base):
    __slots__ = ("_hidden", "slot")
    url = "secret"
    limits = ("secret",)

    def __init__(self):
        self.name, self.slot, self._hidden, self._own = "service", 1, "secret", "secret"


RETURNED = [
    Account("a"), [Account("a")], {"a": (Account("a"),)}, {Key(1): Key(2)}, frozenset({Key(1)}), Row(1, "secret"), Level.HIGH,
    (belljar.readonly([1]), Account("a")), [Row(Account("x"), "secret")],
]  # fmt: skip


WAYS = [
    (way, number)
    for way in ("answer", "variable", "argument", "view")
    for number, value in enumerate(RETURNED)
    if way != "view" or "Row" not in repr(value)  # of a view of a tuple, its items are items, whatever their names are
]


@pytest.mark.parametrize("way, number", WAYS)
def test_private_fields_stay_in_the_host(sandbox, way, number):
    value = RETURNED[number]
    if way == "answer":
        sandbox.expose(lambda: value, "f")
        sandbox.run_code("x = f()")
    elif way == "variable":
        sandbox["x"] = value
    elif way == "argument":
        sandbox.call(
            lambda value: globals().__setitem__("x", value)
            or __import__("sys").modules["__main__"].__dict__.__setitem__("x", value),
            value,
        )
    else:
        sandbox["v"] = belljar.readonly([value] if not isinstance(value, tuple) or type(value) is Row else list(value[1:]))
        sandbox.run_code("x = [v[0], list(v), v]")
    ex = sandbox.run_code(
        """
import gc
found = [one for one in gc.get_objects() if isinstance(one, (dict, tuple, list)) and ('_password' in one or '_salt' in one)
         and type(one) is dict and 'secret' in one.values()]
repr(x), len(found)"""
    )
    assert ex.error is None, ex.error
    assert "secret" not in ex.value[0] and ex.value[1] == 0


def test_public_fields_cross(sandbox):
    sandbox["x"] = [Account("a"), Row(1, 2), Key(3)]
    assert sandbox.run_code("x[0].name, x[1].a, x[2].number, dict(x[0])").value == ("a", 1, 3, {"name": "a"})
    ex = sandbox.run_code("import dataclasses\n@dataclasses.dataclass\nclass D:\n    a: int\n    _b: int\nD(1, 2)")
    assert dict(ex.value) == {"a": 1, "_b": 2}  # a guest's are its own


def test_a_view_shows_what_the_object_itself_stores(sandbox):
    sandbox["x"] = belljar.readonly(Service())
    assert sandbox.run_code("sorted(dir(x))").value == ["name", "slot"]
    assert sandbox.run_code("x.name, x.slot").value == ("service", 1)
    for name in ("url", "token", "limits", "_own", "_hidden"):
        assert sandbox.run_code(f"x.{name}").error.name == "AttributeError"
    sandbox["y"] = belljar.readonly(Service(), attributes=["url"])
    assert sandbox.run_code("y.url").value == "secret"  # as it was named


# ---- Honest values that are large ---------------------------------------------------------------------------------


def test_large_honest_values_cross(template):
    pandas, numpy = pytest.importorskip("pandas"), pytest.importorskip("numpy")
    with Sandbox(Policy(timeout=60, memory="2G"), python=PYTHON) as sandbox:
        sandbox.run_code("import numpy, pandas")
        strings = sandbox.run_code("numpy.array([f'item {n}' for n in range(1_000_000)])").value
        assert strings.dtype.kind == "U" and strings[-1] == "item 999999"
        names = sandbox.run_code("[f'item {n}' for n in range(1_000_000)]").value
        assert len(names) == 1_000_000
        frame = sandbox.run_code("pandas.DataFrame(numpy.ones((1_000_000, 7)))").value
        assert frame.shape == (1_000_000, 7) and frame[6].sum() == 1_000_000
        sandbox["big"] = pandas.DataFrame(numpy.ones((25_000_000 // 8, 8)))  # 200 MB: lent
        assert sandbox.run_code("float(big.sum().sum())").value == 25_000_000


def test_indexes_of_rows_are_as_pandas_makes_them():
    pandas = pytest.importorskip("pandas")
    import datetime

    day = datetime.date(2024, 1, 2)
    for rows in ([("b", 2), ("a", 1), ("b", 1)], [(1.5, None), (float("nan"), "x"), (-1.0, "x"), (-2.0, "y")],
                 [(day, True), (day + datetime.timedelta(1), False)], [((1, 2), "a"), ((0, 1), "b")]):  # fmt: skip
        expected = pandas.MultiIndex.from_tuples(rows, names=["one", "two"])
        found = core.decode_value(core.encode_value(expected))
        assert type(found) is pandas.MultiIndex and found.equals(expected) and list(found.names) == ["one", "two"]
        for mine, theirs in zip(found.levels, expected.levels, strict=True):
            assert mine.dtype == theirs.dtype  # tuples are not sorted: to compare them may take long
            assert (list(mine) if type(mine[0]) is not tuple else sorted(mine)) == list(theirs)
        frame = pandas.DataFrame({"v": range(len(rows))}, index=expected)
        pandas.testing.assert_frame_equal(core.decode_value(core.encode_value(frame)), frame)
    assert len(core.decode_value(core.encode_value(pandas.MultiIndex.from_product([range(300), [-1.0, -2.0, 0.0]])))) == 900


def test_an_array_without_items_has_so_many_rows_as_it_was_charged_for():
    numpy = pytest.importorskip("numpy")
    for shape in ((0,), (0, 5), (1000, 0), (3, 0, 7)):
        for kind in ("f8", "O", "U3"):
            assert core.decode_value(core.encode_value(numpy.zeros(shape, kind))).shape == shape
    assert isinstance(core.decode_value(core.encode_value(numpy.zeros((1 << 40, 0)))), belljar.Opaque)
