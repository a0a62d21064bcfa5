"""Values on the wire: what crosses comes back the same, what cannot is described, and hostile bytes are
one ValueError. The codec is built by itself here, so no sandbox is needed.

HYPOTHESIS_EXAMPLES in the environment: how many examples each property gets (default 300)."""

from __future__ import annotations

import array
import collections
import dataclasses
import datetime
import decimal
import enum
import fractions
import gc
import importlib.util
import itertools
import math
import os
import pathlib
import subprocess
import sys
import sysconfig
import threading
import time
import uuid
import zoneinfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

ROOT = pathlib.Path(__file__).resolve().parents[2]


def _load(name, path):
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def _build(directory):
    """The codec as a module of its own, whose Record and Opaque are those of python/belljar/values.py."""
    library = pathlib.Path(directory) / "_value_test.abi3.so"
    sources = [*sorted(ROOT.glob("values/*.c")), ROOT / "tests/py/_value_test.c"]
    subprocess.run(
        [
            "cc",
            "-std=gnu11",
            "-O1",
            "-fPIC",
            "-shared",
            f"-I{ROOT}",
            f"-I{sysconfig.get_path('include')}",
            '-DVALUE_TEST_HOME="belljar_test_values"',
            *map(str, sources),
            "-o",
            str(library),
        ],
        check=True,
    )
    return library


if not (ROOT / "values/value.c").exists():
    pytest.skip("builds the codec from its sources, which are not here", allow_module_level=True)
_directory = __import__("tempfile").TemporaryDirectory()
LIBRARY = _build(_directory.name)
values = _load("belljar_test_values", ROOT / "python/belljar/_shared/values.py")
codec = _load("_value_test", LIBRARY)
codec.use_parts(_load("belljar_test_parts", ROOT / "python/belljar/_shared/parts.py"))
Record, Opaque = values.Record, values.Opaque
ALONE = f"""
import importlib.util, sys
sys.path.insert(0, {str(LIBRARY.parent)!r})
import _value_test
for name in ("values", "parts"):
    spec = importlib.util.spec_from_file_location(name, {str(ROOT / "python/belljar/_shared")!r} + "/" + name + ".py")
    module = sys.modules["belljar_test_" + name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
_value_test.use_parts(module)
"""  # the codec in an interpreter of its own
encode, decode = codec.encode_value, codec.decode_value


def back(value, **options):
    return decode(encode(value, strict=True), **options)


def same(one, two):
    """Equal, of the same types all the way down; NaN is NaN and -0.0 is not 0.0."""
    if type(one) is not type(two):
        return False
    if isinstance(one, float):
        return one.hex() == two.hex() if not math.isnan(one) else math.isnan(two)
    if isinstance(one, complex):
        return same(one.real, two.real) and same(one.imag, two.imag)
    if isinstance(one, decimal.Decimal):
        return str(one) == str(two)
    if isinstance(one, (list, tuple)):
        return len(one) == len(two) and all(map(same, one, two))
    if isinstance(one, dict):
        return len(one) == len(two) and all(same(a, b) and same(one[a], two[b]) for a, b in zip(one, two))  # the order, too
    if isinstance(one, datetime.datetime) or isinstance(one, datetime.time):
        return one.replace(tzinfo=None) == two.replace(tzinfo=None) and one.fold == two.fold and same(one.tzinfo, two.tzinfo)
    if isinstance(one, (set, frozenset)):
        return one == two and sorted(map(repr, map(type, one))) == sorted(map(repr, map(type, two)))
    if isinstance(one, memoryview):
        return one.tobytes() == two.tobytes()
    return one == two


# ---- What crosses ------------------------------------------------------------------------------------------

UTC = datetime.timezone.utc
PLAIN = [
    None,
    True,
    False,
    0,
    1,
    -1,
    23,
    24,
    255,
    256,
    65535,
    65536,
    2**32,
    2**63 - 1,
    2**63,
    -(2**63),
    -(2**63) - 1,
    2**64 - 1,
    2**64,
    -(2**64),
    -(2**64) - 1,
    2**1000 + 1,
    -(2**1000),
    10**4000,
    0.0,
    -0.0,
    1.5,
    5e-324,
    math.inf,
    -math.inf,
    math.nan,
    1 + 2j,
    complex(-0.0, math.inf),
    "",
    "abc",
    "é€😀",
    "\0",
    "\ud800",
    "a\udfffb",
    "\ud83d\ude00",
    b"",
    b"\0\xff",
    bytearray(b"xy"),
    [],
    [1, [2, [3]]],
    (),
    (1, (2,)),
    ([1],),
    {},
    {"a": 1, 2: (3,), (4, 5): [6], None: None, 1.5: b"", b"": {}},
    {"z": 1, "a": 2, "m": 3},
    set(),
    {1, "a", (2,)},
    frozenset(),
    frozenset({1, frozenset({2})}),
    {frozenset({1}): 1},
    range(0),
    range(5, -10, -3),
    range(2**80),
    slice(None),
    slice(1, "a", 2.5),
    ...,
    datetime.date.min,
    datetime.date.max,
    datetime.date(1969, 12, 31),
    datetime.datetime.min,
    datetime.datetime.max,
    datetime.datetime(2020, 1, 2, 3, 4, 5, 6, fold=1),
    datetime.datetime(2020, 1, 1, tzinfo=UTC),
    datetime.datetime(2020, 1, 1, tzinfo=datetime.timezone(datetime.timedelta(hours=-3, seconds=1), "odd")),
    datetime.datetime(2020, 10, 25, 2, 30, fold=1, tzinfo=zoneinfo.ZoneInfo("Europe/Berlin")),
    datetime.time(1, 2, 3, 4),
    datetime.time(1, tzinfo=UTC),
    datetime.time(1, tzinfo=zoneinfo.ZoneInfo("Asia/Tokyo")),
    datetime.timedelta.min,
    datetime.timedelta.max,
    datetime.timedelta(-1, 1, 1),
    UTC,
    decimal.Decimal("1.50"),
    decimal.Decimal("-0"),
    decimal.Decimal("1E+999"),
    decimal.Decimal("-Infinity"),
    decimal.Decimal("NaN"),
    decimal.Decimal("-sNaN123"),
    decimal.Decimal("0E-50"),
    fractions.Fraction(-3, 7),
    fractions.Fraction(10**50, 3),
    uuid.UUID(int=0),
    uuid.UUID(int=2**128 - 1),
    pathlib.Path("/a/b"),
    pathlib.Path("."),
    pathlib.PurePosixPath("a/\udcff"),
    pathlib.PureWindowsPath("c:\\x"),
    memoryview(b"abc"),
    array.array("d", [1.5, -2]),
    array.array("b"),
    array.array("Q", [2**64 - 1]),
]


@pytest.mark.parametrize("value", PLAIN, ids=lambda value: type(value).__name__)
def test_value_comes_back_with_its_type(value):
    result = back(value)
    assert same(value, result)


# RFC 8949, appendix A, and the registered tags.
@pytest.mark.parametrize(
    "value, encoded",
    [
        (1000000, "1a000f4240"),
        (18446744073709551616, "c249010000000000000000"),
        (-18446744073709551617, "c349010000000000000000"),
        (-1000, "3903e7"),
        (1.1, "fb3ff199999999999a"),
        (False, "f4"),
        (True, "f5"),
        (None, "f6"),
        (b"\1\2\3\4", "4401020304"),
        ("ü", "62c3bc"),
        ("\ud800", "d9011143eda080"),
        ([1, [2, 3], [4, 5]], "8301820203820405"),
        ({"a": 1, "b": [2, 3]}, "a26161016162820203"),
        (1 + 2j, "d9a7f882fb3ff0000000000000fb4000000000000000"),
        (fractions.Fraction(1, 3), "d81e820103"),
        (uuid.UUID(int=1), "d82550" + "00" * 15 + "01"),
        (datetime.date(1970, 1, 2), "d86401"),
        ({1}, "d901028101"),
        ((1,), "d81b82657475706c6501"),
        (array.array("H", [1, 258]), "d8454401000201"),
    ],
)
def test_encoding_is_rfc_8949_with_registered_tags(value, encoded):
    assert encode(value, references=0).hex() == encoded
    assert same(decode(bytes.fromhex(encoded)), value)


ATOMS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(-(2**200), 2**200),
    st.floats(),
    st.text(),
    st.binary(),
    st.text(st.characters()),
    st.complex_numbers(),
    st.dates(),
    st.datetimes(),
    st.times(),
    st.datetimes(timezones=st.sampled_from([UTC, zoneinfo.ZoneInfo("America/New_York")])),
    st.timedeltas(),
    st.decimals(),
    st.fractions(),
    st.uuids(),
    st.text(st.characters(blacklist_characters="\0"), max_size=20).map(pathlib.Path),
    st.builds(range, st.integers(), st.integers(), st.integers(1)),
    st.builds(slice, st.none() | st.integers(), st.none() | st.integers(), st.none() | st.integers()),
    st.binary().map(bytearray),
)
# Signalling NaN has no hash; slices have none before 3.12; bytearrays never.
KEYS = st.recursive(
    ATOMS.filter(lambda value: not isinstance(value, (slice, bytearray)) and "NaN" not in repr(value).replace("nan", "NaN")),
    lambda inner: st.one_of(st.tuples(inner), st.tuples(inner, inner), st.frozensets(inner, max_size=3)),
    max_leaves=4,
)
VALUES = st.recursive(
    ATOMS,
    lambda inner: st.one_of(
        st.lists(inner),
        st.lists(inner).map(tuple),
        st.dictionaries(KEYS, inner),
        st.sets(KEYS),
        st.frozensets(KEYS),
    ),
    max_leaves=20,
)
many = settings(
    max_examples=int(os.environ.get("HYPOTHESIS_EXAMPLES", "300")),
    deadline=None,
    suppress_health_check=list(HealthCheck),
)


@many
@given(VALUES)
def test_any_value_comes_back_the_same(value):
    assert same(value, back(value))


@many
@given(VALUES, st.integers(0, 4), st.integers(0, 60), st.integers(0, 300), st.integers(64, 128))
def test_what_the_encoder_makes_under_limits_the_decoder_takes_under_them(value, depth, elements, size, bits):
    limits = {"depth": depth, "elements": elements + 10, "bytes": size + 150, "int_bits": bits}
    decode(encode(value, **limits), **limits)


@many
@given(VALUES, st.data())
def test_bytes_with_faults_are_a_value_or_one_value_error(value, data):
    encoded = bytearray(encode(value))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(encoded) - 1))
        action = data.draw(st.sampled_from(["set", "cut", "insert", "remove"]))
        if action == "set":
            encoded[at] = data.draw(st.integers(0, 255))
        elif action == "cut":
            del encoded[max(at, 1) :]
        elif action == "insert":
            encoded.insert(at, data.draw(st.integers(0, 255)))
        elif len(encoded) > 1:
            del encoded[at]
    try:
        decode(encoded)
    except ValueError:
        pass


@many
@given(st.binary())
def test_any_bytes_are_a_value_or_one_value_error(data):
    try:
        decode(data)
    except ValueError:
        pass


# ---- Shared values -----------------------------------------------------------------------------------------


def test_shared_containers_arrive_shared():
    inner = [1]
    result = back([inner, inner, (inner,), {"k": inner}])
    assert result[0] is result[1] is result[2][0] is result[3]["k"]


def test_cycles_arrive_as_cycles():
    one = []
    one.append(one)
    result = back(one)
    assert result[0] is result
    two = {}
    two["self"] = two
    two["list"] = [two, (two,)]
    result = back(two)
    assert result["self"] is result and result["list"][0] is result and result["list"][1][0] is result


def test_record_in_itself_arrives_so():
    node = Node(1, None)
    node.next = [node]
    result = back(node)
    assert result.next[0] is result
    assert repr(result).startswith("test_values.Node(value=1, next=[") or "Node(value=1" in repr(result)


def test_long_chain_of_shared_lists_is_freed_without_recursion():
    chain = []
    for _ in range(100_000):
        chain = [chain]
    flat, at = [], chain
    while at:
        flat.append(at)
        at = at[0]
    flat.append(at)
    result = back(list(reversed(flat)))  # the innermost first: each refers to the one before
    assert result[-1][0] is result[-2]
    del result


@pytest.mark.parametrize(
    "link",
    [
        lambda inner: b"\x81" + inner,
        lambda inner: b"\xa1\0" + inner,
        lambda inner: b"\x81" + kind("tuple", inner),
        lambda inner: kind("record", b"\x61a", b"\xa1\x61b" + inner),
    ],
)
def test_long_chain_by_references_of_any_type_is_freed_without_recursion(link):
    count = 100_000
    data = (
        head(4, count)
        + b"\xd8\x1c"
        + link(b"\0")
        + b"".join(b"\xd8\x1c" + link(b"\xd8\x1d" + head(0, i)) for i in range(count - 1))
    )
    result = decode(data)
    assert len(result) == count
    last = result.pop()
    del result
    del last


# ---- By value ----------------------------------------------------------------------------------------------


@dataclasses.dataclass
class Node:
    value: object
    next: object
    kind: dataclasses.ClassVar = 5 if False else None


@dataclasses.dataclass(frozen=True)
class Point:
    x: object
    y: object = 0


@dataclasses.dataclass(eq=False)
class Thing:
    x: int


Pair = collections.namedtuple("Pair", "left right")


class Colour(enum.Enum):
    RED = 1


class Level(enum.IntEnum):
    LOW = 1


class MyInt(int):
    def __index__(self):
        raise RuntimeError

    def bit_length(self):
        return 1


class MyList(list):
    def __iter__(self):
        return iter([0])

    def __len__(self):
        return 10**9


class MyStr(str):
    def __str__(self):
        return "other"


class Liar:
    __class__ = int

    def __repr__(self):
        raise SystemExit


class Broken:
    @property
    def x(self):
        raise RuntimeError


RECORDS = [
    (Point(1, [2]), "Point", {"x": 1, "y": [2]}),
    (Pair((1,), None), "Pair", {"left": (1,), "right": None}),
    (Colour.RED, "Colour", {"name": "RED", "value": 1}),
    (Level.LOW, "Level", {"name": "LOW", "value": 1}),
]


@pytest.mark.parametrize("value, name, fields", RECORDS, ids=lambda value: repr(value)[:20])
def test_instances_arrive_as_records(value, name, fields):
    result = back(value)
    assert type(result) is Record
    assert result.type_name.split(".")[-1] == name
    assert dict(result) == fields
    assert same(dict(back(result)), fields)  # and a record goes back as one


@pytest.mark.parametrize(
    "value, plain",
    [
        (collections.OrderedDict(b=1, a=2), {"b": 1, "a": 2}),
        (collections.Counter("aab"), {"a": 2, "b": 1}),
        (collections.defaultdict(list, k=[1]), {"k": [1]}),
        (MyInt(2**70), 2**70),
        (MyInt(5), 5),
        (MyList([1, 2]), [1, 2]),
        (MyStr("text"), "text"),
        (time.gmtime(0), (1970, 1, 1, 0, 0, 0, 3, 1, 0)),
    ],
)
def test_subclasses_arrive_as_the_builtin_they_store(value, plain):
    assert same(back(value), plain)


def test_records_can_be_keys_if_they_are_equal_by_value():
    assert back({Point(1, 2): "a"}) == {Record("test_values.Point", {"x": 1, "y": 2}): "a"}
    result = back({Point(1, 2): "a", Pair(1, 2): "b"})
    assert sorted(result.values()) == ["a", "b"]
    # Equal by identity: two of them must not become one.
    result = decode(encode({Thing(1): "a", Thing(1): "b"}))
    assert [type(key) for key in result] == [Opaque, Opaque]


# ---- What cannot cross -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value, name",
    [
        (len, "builtin_function_or_method"),
        (lambda: 1, "function"),
        (sys, "module"),
        (int, "type"),
        (iter([]), "list_iterator"),
        (ValueError("x"), "ValueError"),
        (Liar(), "Liar"),
        (Broken(), "Broken"),
        (object(), "object"),
        (threading.Lock(), "_thread.lock"),
    ],
    ids=lambda value: str(type(value)),
)
def test_what_cannot_cross_arrives_as_a_description_and_the_rest_is_kept(value, name):
    result = decode(encode([1, value, 2]))
    assert result[0] == 1 and result[2] == 2
    assert type(result[1]) is Opaque
    assert result[1].type_name.endswith(name)
    with pytest.raises(TypeError, match="cannot send"):
        encode([1, value, 2], strict=True)


def test_descriptions_are_cut():
    class Long:
        def __repr__(self):
            return "€" * 100_000

    Long.__qualname__ = "é" * 1000
    result = decode(encode([Long() for _ in range(100)]))
    assert len(result[0].repr.encode()) in range(65530, 65537)
    assert len(result[0].type_name.encode()) == 256
    assert sum(len(item.repr.encode()) for item in result) < (1 << 20) + (1 << 16) + 100 * 256


def test_failing_methods_become_a_stand_in_and_shared_numbers_stay_right():
    shared = [1]

    class Zone(datetime.tzinfo):
        def utcoffset(self, when):
            raise RuntimeError("no")

    moment = datetime.datetime(2020, 1, 1, tzinfo=Zone())
    result = decode(encode([[[shared], moment], shared, shared]))
    assert type(result[0][1]) is Opaque
    assert result[0][0][0] is result[1] is result[2]


def test_keyboard_interrupt_in_a_repr_comes_out():
    class Slow:
        def __repr__(self):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        encode([Slow()])


def test_container_that_changes_meanwhile_is_an_error_or_a_stand_in():
    items = []

    class Shrinks:
        def __repr__(self):
            items.clear()
            return "gone"

    items.extend([Shrinks(), 1, 2])
    assert type(decode(encode([items, 5]))[0]) is Opaque
    shared = [1]
    items.extend([shared, Shrinks(), 1])
    result = decode(encode([items, shared, shared]))
    assert type(result[0]) is Opaque and result[1] == [1] and result[1] is result[2]
    table = {}

    class Grows:
        def __repr__(self):
            table.update({i: i for i in range(1000)})
            return "more"

    table["a"] = Grows()
    assert type(decode(encode([table, 5]))[0]) is Opaque


def test_too_deep_and_too_large_parts_are_stand_ins():
    deep = []
    for _ in range(5000):
        deep = [deep]
    result, levels = decode(encode(deep)), 0
    while type(result) is list:
        result, levels = result[0], levels + 1
    assert (type(result), levels) == (Opaque, 201)
    assert back(nested(200)) == nested(200)
    with pytest.raises(ValueError, match="deep"):
        encode(deep, strict=True)
    assert type(decode(encode([1 << 2_000_000, 1]))[0]) is Opaque
    assert type(decode(encode(list(range(5_000_000))))) is Opaque
    assert type(decode(encode(b"x" * (65 << 20)))) is Opaque
    with pytest.raises(ValueError, match="too large"):
        encode(b"x" * (65 << 20), strict=True)


def nested(levels):
    value = []
    for _ in range(levels - 1):
        value = [value]
    return value


@pytest.mark.parametrize(
    "limits, value, whole",
    [
        ({"depth": 1}, {"a": {"b": 1}}, {"a": {"b": 1}}),
        ({"depth": 1}, {"a": {"b": [[]]}}, {"a": {"b": Opaque}}),
        ({"depth": 0}, Pair(1, "x"), Pair(1, "x")),
        ({"depth": 0}, datetime.datetime(2020, 1, 1, tzinfo=UTC), None),
        ({"int_bits": 64}, [range(2**80), 1], [Opaque, 1]),
        ({"int_bits": 64}, [slice(2**80), 1], [Opaque, 1]),
        ({"int_bits": 64}, [fractions.Fraction(1, 2**80), 1], [Opaque, 1]),
        ({}, [slice([]), 1], [Opaque, 1]),
    ],
    ids=str,
)
def test_at_a_limit_an_object_is_whole_or_a_stand_in(limits, value, whole):
    def shape(item):
        if type(item) in (dict, Record):
            return {key: shape(inner) for key, inner in item.items()}
        if isinstance(item, Pair):
            return item._asdict()
        return [shape(inner) for inner in item] if type(item) is list else Opaque if type(item) is Opaque else item

    result = decode(encode(value, **limits), **limits)
    assert shape(result) == shape(value if whole is None else whole)


# ---- Hostile bytes -----------------------------------------------------------------------------------------


def head(major, number):
    for size, code in ((0, None), (1, 24), (2, 25), (4, 26), (8, 27)):
        if number < (24 if size == 0 else 1 << 8 * size):
            return bytes([major << 5 | (number if code is None else code)]) + number.to_bytes(size or 1, "big")[:size]
    raise OverflowError


def kind(name, *arguments):
    return b"\xd8\x1b" + head(4, len(arguments) + 1) + head(3, len(name)) + name.encode() + b"".join(arguments)


M = sys.hash_info.modulus
HOSTILE = {
    "empty": (b"", "too early"),
    "half a head": (b"\x1b\0\0", "too early"),
    "reserved": (b"\x1c", "reserved"),
    "indefinite text": (b"\x7f\x61a\xff", "indefinite"),
    "indefinite array": (b"\x9f\xff", "indefinite"),
    "break": (b"\xff", "indefinite"),
    "array of 2^64": (b"\x9b" + b"\xff" * 8, "can follow"),
    "bytes of 2^63": (b"\x5b\x80" + bytes(7), "longer than the input"),
    "text of 2^64": (b"\x7b" + b"\xff" * 8, "longer than the input"),
    "map of 2^32": (b"\xba\xff\xff\xff\xff", "can follow"),
    "map of 2^63": (b"\xbb\x80" + bytes(7), "can follow"),
    "lying arrays, nested": (head(4, 3_000_000) * 200 + bytes(3_000_000), "can follow|elements"),
    "nested too deeply": (b"\x81" * 65535 + b"\0", "deep"),
    "nested maps": (b"\xa1\0" * 65535 + b"\0", "deep"),
    "nested keys": (b"\xa1" + b"\xd8\x1b\x82\x65tuple" * 1000 + b"\0", "deep"),
    "nested tags": (b"\xd8\x1c" * 65535, "never shared"),
    "bad UTF-8": (b"\x62\xff\xfe", "utf-8"),
    "surrogates in text": (b"\x63\xed\xa0\x80", "utf-8"),
    "simple value": (b"\xf8\x20", "simple"),
    "undefined": (b"\xf7", "simple"),
    "half float": (b"\xf9\x3c\0", "simple"),
    "trailing": (b"\0\0", "follow"),
    "unknown tag": (b"\xd9\x12\x34\0", "unknown tag"),
    "date text": (b"\xc0\x61x", "unknown tag"),
    "regex": (b"\xd8\x23\x61(", "unknown tag"),
    "bignum of text": (b"\xc2\x61a", "unexpected"),
    "huge bignum": (b"\xc2" + head(2, 200_000) + b"\xff" * 200_000, "bits"),
    "fraction over zero": (b"\xd8\x1e\x82\x01\x00", "cannot be made"),
    "fraction of text": (b"\xd8\x1e\x82\x01\x61a", "not an int"),
    "fraction, slow": (head(4, 40) + (b"\xd8\x1e\x82" + (b"\xc2" + head(2, 120_000) + b"\x77" * 120_000) * 2) * 40, "elements"),
    "date out of range": (b"\xd8\x64\x1b" + b"\x7f" * 8, "cannot be made"),
    "UUID of 15": (b"\xd8\x25\x4f" + bytes(15), "16"),
    "complex of ints": (b"\xd9\xa7\xf8\x82\0\0", "float"),
    "list as key": (b"\xa1\x80\0", "cannot be made"),
    "dict in a set": (b"\xd9\x01\x02\x81\xa0", "cannot be made"),
    "the same key": (b"\xa2\x01\0\x01\0", "twice"),
    "equal keys": (b"\xa2\x01\0\xf5\0", "twice"),
    "the same item": (b"\xd9\x01\x02\x82\x01\x01", "twice"),
    "reference to nothing": (b"\xd8\x1d\0", "nothing"),
    "reference forward": (b"\x82\xd8\x1d\0\xd8\x1c\x80", "nothing"),
    "reference of 2^64": (b"\xd8\x1c\x81\xd8\x1d\x1b" + b"\xff" * 8, "nothing"),
    "reference in a key": (b"\xd8\x1c\xa1\xd8\x1d\0\0", "cannot be one"),
    "shared in a key": (b"\xa1\xd8\x1c\x80\0", "cannot be one"),
    "shared int": (b"\xd8\x1c\0", "never shared"),
    "shared tuple": (b"\xd8\x1c" + kind("tuple"), "never shared"),
    "shared frozenset": (b"\xd8\x1c" + kind("frozenset"), "never shared"),
    "reference as argument": (b"\xd8\x1c\x81" + kind("range", b"\xd8\x1d\0", b"\1", b"\1"), "cannot be one"),
    "keys that collide": (head(5, 100_000) + b"".join(encode(i * M) + b"\0" for i in range(1, 100_001)), "equal hashes"),
    "complex that collide": (
        b"\xd9\x01\x02" + head(4, 100_000) + b"".join(encode(complex(-sys.hash_info.imag * i, i)) for i in range(100_000)),
        "equal hashes",
    ),
    "a type by name": (kind("os.system", b"\x62ls"), "unknown kind"),
    "a module's type": (kind("subprocess.Popen", b"\x62ls"), "unknown kind"),
    "no name": (b"\xd8\x1b\x80", "too early|unknown kind"),
    "a number as name": (b"\xd8\x1b\x81\0", "unexpected"),
    "buffer by itself": (kind("buffer", b"\0"), "wrong place"),
    "buffer nobody sent": (b"\xd8\x40" + kind("buffer", b"\0"), "not bytes"),
    "range by zero": (kind("range", b"\0", b"\1", b"\0"), "range|cannot be made"),
    "range of list": (kind("range", b"\0", b"\1", b"\x80"), "do not fit"),
    "range short": (kind("range", b"\0"), "do not fit"),
    "range long": (kind("range", b"\0", b"\1", b"\1", b"\1"), "do not fit"),
    "slice of list": (kind("slice", b"\x80", b"\0", b"\0"), "do not fit"),
    "month 13": (kind("datetime", *[b"\x0d"] * 7, b"\xf6", b"\0"), "month|cannot be made"),
    "zone of a str": (kind("datetime", *[b"\x01"] * 7, b"\x61x", b"\0"), "do not fit"),
    "fold 2": (kind("time", *[b"\0"] * 4, b"\xf6", b"\2"), "fold|cannot be made"),
    "zone that leaves": (kind("ZoneInfo", b"\x69../../etc", b"\xf6"), "key"),
    "zone that is a path": (kind("ZoneInfo", b"\x6b/etc/passwd", b"\xf6"), "key"),
    "zone with NUL": (kind("ZoneInfo", b"\x62a\0", b"\xf6"), "key"),
    "too many zones": (
        head(4, 2000) + b"".join(kind("ZoneInfo", head(3, 5) + b"Q%04d" % i, b"\xf6") for i in range(2000)),
        "zones",
    ),
    "decimal of words": (kind("Decimal", b"\x63abc"), "cannot be made"),
    "long type name": (kind("record", head(3, 300) + b"a" * 300, b"\xa0"), "too long"),
    "long repr": (kind("opaque", b"\x61a", head(3, 70_000) + b"a" * 70_000), "too long"),
    "record without fields": (kind("record", b"\x61a"), "wrong number"),
    "record of list": (kind("record", b"\x61a", b"\x80"), "unexpected"),
    "record with a number": (kind("record", b"\x61a", b"\xa1\1\1"), "not text"),
    "record with a field twice": (kind("record", b"\x61a", b"\xa2\x61a\1\x61a\1"), "twice"),
    "array of half an item": (b"\xd8\x45\x43\0\0\0", "inside an item"),
    "typed array unknown": (b"\xd8\x57\x41\0", "typed array"),
    "big-endian array": (b"\xd8\x41\x42\0\0", "typed array"),
    "typed array of text": (b"\xd8\x45\x62ab", "not bytes"),
    "dimensions over": (b"\xd8\x28\x82\x82" + head(0, 2**62) * 2 + b"\xd8\x40\x40", "too large"),
    "dimensions negative": (b"\xd8\x28\x82\x81\x20\xd8\x40\x40", "unexpected"),
    "dimensions of zero": (b"\xd8\x28\x82\x83\0" + head(0, 2**62) * 2 + b"\xd8\x40\x41\0", "do not fit"),
    "dimensions many": (b"\xd8\x28\x82\x98\x40" + b"\1" * 64 + b"\xd8\x40\x41\0", "too many"),
    "dimensions wrong": (b"\xd8\x28\x82\x81\x05\xd8\x40\x41\0", "do not fit"),
    "complex of ints array": (b"\xd8\x28\x82\x81\1\xd9\xa7\xf9\xd8\x48\x42\0\0", "something else"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_bytes_are_one_value_error_soon(name):
    data, message = HOSTILE[name]
    start = time.process_time()
    with pytest.raises(ValueError, match=message):
        decode(data)
    assert time.process_time() - start < 1.0


def test_limits_of_the_receiver_hold():
    decode(encode([[1] * 50]), depth=2)
    for data, limits in [
        (encode([1] * 50), {"elements": 40}),
        (encode("a" * 50), {"bytes": 40}),
        (encode(1 << 200), {"int_bits": 128}),
        (encode(nested(50)), {"depth": 20}),
        (encode([(shared := [1]), shared]), {"references": 0}),
        (encode([(shared := [1]), shared, shared, shared]), {"references": 2}),
    ]:
        decode(data)
        with pytest.raises(ValueError, match="malformed"):
            decode(data, **limits)


def test_expansion_stays_within_the_elements_limit():
    # A byte of input may ask for some two hundred of memory: the limit counts that, not the bytes.
    script = f"""{ALONE}
import resource
resource.setrlimit(resource.RLIMIT_DATA, (700 << 20, 700 << 20))
for item in (b"\\xd9\\x01\\x02\\x80", b"\\xa0", b"\\x80", b"\\xd8\\x1b\\x83\\x66record\\x61a\\xa0", b"\\x62ab"):
    count = (60 << 20) // len(item)
    for count in (count, 1_000_000, 200_000):
        try:
            _value_test.decode_value(b"\\x9a" + count.to_bytes(4, "big") + item * count)
            break
        except ValueError:
            pass
    else:
        sys.exit("nothing was decoded")
print("ok")
"""
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert found.stdout == "ok\n", found.stderr


def test_decoding_leaves_nothing_behind():
    good = [encode(value) for value in PLAIN] + [encode([value for value, _, _ in RECORDS]), encode([len, {1, 2}])]
    cycle = []
    cycle.append([cycle, (cycle,)])
    good.append(encode(cycle))
    bad = [data for name, (data, _) in HOSTILE.items() if len(data) < 100_000]
    bad += [data[:cut] for data in good for cut in range(len(data))]

    def once():
        for data in good:
            value = decode(data)
            encode(value)
            del value
        for data in bad:
            try:
                decode(data)
            except ValueError:
                pass
        encode([Liar(), Broken(), nested(300)])

    counts = array.array("q")  # an int of its own would be counted as well
    for _ in range(8):
        once()
        gc.collect()
        sys._clear_type_cache()  # it keeps names of attributes, by their addresses
        counts.append(sys.getallocatedblocks())
    assert min(after - before for before, after in zip(counts, counts[1:])) <= 0


def test_types_are_imported_when_first_met_only():
    script = f"""
import sys
sys.path.insert(0, {str(LIBRARY.parent)!r})
import _value_test
_value_test.decode_value(_value_test.encode_value([1, "a", {{2: (3.5, {{4}})}}, len, object()][:3]))
_value_test.encode_value([len, object()])
print([name for name in ("decimal", "fractions", "uuid", "pathlib", "zoneinfo", "numpy", "belljar_test_values", "enum")
       if name in sys.modules])
"""
    found = subprocess.run([sys.executable, "-S", "-I", "-c", script], capture_output=True, text=True)
    assert found.stdout == "[]\n", found.stderr


def test_a_zone_that_is_unknown_here_becomes_its_offset():
    def moment(offset):
        return kind("datetime", b"\x19\x07\xd0", b"\1", b"\1", *[b"\0"] * 4, kind("ZoneInfo", b"\x69Mars/Base", offset), b"\0")

    result = decode(moment(kind("timedelta", b"\0", b"\x19\x0e\x10", b"\0")))
    assert result.utcoffset() == datetime.timedelta(hours=1) and result.tzname() == "Mars/Base"
    assert decode(moment(b"\xf6")).tzinfo is None


def test_decoding_in_a_thread_with_a_small_stack_works():
    value = []
    for _ in range(195):
        value = (value, {1: 0})
    data, results = encode(value), []
    previous = threading.stack_size(128 * 1024)
    try:
        thread = threading.Thread(target=lambda: results.append(same(decode(encode(decode(data))), value)))
        thread.start()
        thread.join()
    finally:
        threading.stack_size(previous)
    assert len(results) == 1


# ---- Records and stand-ins on the host ---------------------------------------------------------------------


def test_record_reads_as_object_and_mapping():
    record = Record("Point", {"x": 1, "y": 2, "keys": 3, "_z": 4})
    assert (record.x, record["y"], record["keys"], record["_z"], len(record)) == (1, 2, 3, 4, 4)
    assert {**record} == {"x": 1, "y": 2, "keys": 3, "_z": 4}
    assert repr(Record("P", {"x": 1})) == "P(x=1)"
    assert record == Record("Point", dict(record)) and record != Record("Other", dict(record))
    assert hash(Record("P", {"x": 1})) == hash(Record("P", {"x": 1}))
    for name in ("_z", "__array_interface__", "nothing"):
        assert not hasattr(record, name)
    with pytest.raises(AttributeError):
        record.x = 2
    with pytest.raises(AttributeError):
        del record.x
    assert __import__("copy").deepcopy(record) == record
    match record:
        case {"x": 1}:
            pass
        case _:
            pytest.fail("a record is a mapping")


def test_fields_never_act_as_protocols():
    # numpy would read memory at the address that __array_interface__ states.
    numpy = pytest.importorskip("numpy")
    data = {"shape": (8,), "typestr": "|u1", "data": (id(data := [1]), False), "version": 3}
    record = back(Record("Evil", {"__array_interface__": data, "__fspath__": "/etc/passwd", "_repr_html_": "<b>"}))
    assert numpy.asarray(record).dtype != numpy.uint8
    with pytest.raises(TypeError):
        memoryview(record)
    with pytest.raises(TypeError):
        os.fspath(record)


def test_opaque_is_inert():
    one, two = decode(encode([len, len]))
    assert one != two and len({one, two}) == 2
    with pytest.raises(AttributeError):
        one.repr = "x"
    assert repr(one) == "<opaque builtin_function_or_method: <built-in function len>>"


# ---- Arrays and tables -------------------------------------------------------------------------------------


def arrays():
    numpy = pytest.importorskip("numpy")
    for dtype in "? i1 i2 i4 i8 u1 u2 u4 u8 f2 f4 f8 c8 c16 >i4 >f8 M8[ns] M8[D] m8[s] m8[us]".split():
        yield numpy.arange(12).astype(dtype if dtype != "M8[D]" else "M8[D]").reshape(3, 4)
        yield numpy.arange(12).astype(dtype).reshape(3, 4).T[::2]
        yield numpy.array([], dtype)
        yield numpy.zeros((), dtype)
    yield numpy.array([["a", "bcd"], ["", "é"]])
    yield numpy.array([b"x", b"yz"])
    yield numpy.zeros((0, 5, 3))


def test_arrays_arrive_with_dtype_and_shape():
    numpy = pytest.importorskip("numpy")
    for value in arrays():
        result = back(value)
        assert type(result) is numpy.ndarray and result.shape == value.shape
        assert result.dtype == value.dtype.newbyteorder("=")
        assert (result == value).all() or result.size == 0
        assert result.flags.writeable or result.size == 0


def test_object_arrays_and_scalars_cross():
    numpy = pytest.importorskip("numpy")
    value = numpy.empty((2, 2), object)
    value[:] = [[1, "a"], [None, 2.5]]
    value[0, 0] = [1, [2]]
    assert back(value).tolist() == value.tolist()
    for scalar, plain in [
        (numpy.int64(5), 5),
        (numpy.float32(0.5), 0.5),
        (numpy.bool_(True), True),
        (numpy.str_("x"), "x"),
        (numpy.complex64(1j), 1j),
    ]:
        assert same(back(scalar), plain)
    assert back(numpy.datetime64("2020-01-01", "ns")) == numpy.datetime64("2020-01-01", "ns")
    for other in (numpy.longdouble(1), numpy.zeros(2, [("a", "i4")]), numpy.ma.masked_array([1], [True])):
        assert type(decode(encode(other))) is Opaque


def test_bools_from_other_bytes_are_bools():
    numpy = pytest.importorskip("numpy")
    result = decode(kind("ndarray", b"\x63|b1", b"\xd8\x28\x82\x81\2\xd8\x40\x42\x02\xff"))
    assert result.view("u1").tolist() == [1, 1] and result.dtype == numpy.bool_


@pytest.mark.parametrize(
    "arguments",
    [
        [b"\x62|O", b"\xd8\x28\x82\x81\1\xd8\x4f\x48" + bytes(8)],  # a dtype of pointers over bytes
        [b"\x61O", b"\xd8\x28\x82\x81\1\xd8\x4f\x48" + bytes(8)],
        [b"\x63<i8", b"\xd8\x28\x82\x81\1\xd8\x4f\x48" + bytes(8)],
        [b"\x67<M8[xx]", b"\xd8\x28\x82\x81\1\xd8\x4f\x48" + bytes(8)],
        [b"\x67<M8[ns]", b"\xd8\x28\x82\x81\1\xd8\x40\x41\0"],
        [b"\x61U", b"\x81\2", b"\x82\x61a\1"],
        [b"\x61O", b"\x81\3", b"\x81\1"],
        [b"\x61O", b"\x81\x20", b"\x80"],
        [b"\x61O", b"\x82\x1b\x40\0\0\0\0\0\0\0\x1b\x40\0\0\0\0\0\0\0", b"\x80"],
        [b"\x61U", b"\x81\x19\x27\x10", head(4, 10000) + b"\x60" * 9999 + head(3, 100_000) + b"a" * 100_000],
    ],
)
def test_hostile_arrays_are_refused(arguments):
    with pytest.raises(ValueError, match="malformed"):
        decode(kind("ndarray", *arguments))


def frames():
    pandas = pytest.importorskip("pandas")
    yield pandas.DataFrame({"a": [1, 2], "b": ["x", None], "c": [1.5, float("nan")]})
    yield pandas.DataFrame([[1, 2.5]], columns=["same", "same"], index=["row"])
    yield pandas.DataFrame({"t": pandas.to_datetime(["2020-01-01", None])})
    yield pandas.DataFrame({"a": [1, 2]}, index=pandas.MultiIndex.from_tuples([(1, "a"), (2, "b")], names=["i", None]))
    yield pandas.DataFrame({("a", "b"): [1], ("a", "c"): [2]})
    yield pandas.DataFrame(index=range(3))
    yield pandas.DataFrame({"zone": pandas.date_range("2020", periods=2, tz="Europe/Berlin")})


def test_tables_arrive_as_tables():
    pandas = pytest.importorskip("pandas")
    for frame in frames():
        # Another class of time zone (pytz, zoneinfo) makes another dtype.
        pandas.testing.assert_frame_equal(back(frame), frame, check_column_type=False, check_dtype="zone" not in frame)
        assert [str(dtype) for dtype in back(frame).dtypes] == [str(dtype) for dtype in frame.dtypes]
    series = pandas.Series([1, 2], name="n", index=pandas.Index([3, 4], name="i"))
    pandas.testing.assert_series_equal(back(series), series)
    assert back(pandas.NaT) is None and back(pandas.NA) is None


@pytest.mark.parametrize(
    "data",
    [
        kind("DataFrame"),
        kind("DataFrame", b"\x80", b"\x80"),
        kind("Series", b"\0", b"\0", b"\0"),
        kind("Index", b"\x80", b"\x80"),
        kind("Index", b"\x81\xf6", b"\x81\x80"),
        kind("Index", b"\x81\xf6", b"\xa0"),
        kind("DataFrame", kind("Index", b"\x81\xf6", kind("range", b"\0", b"\1", b"\1")), b"\0"),
        kind("DataFrame", *[kind("Index", b"\x81\xf6", kind("range", b"\0", b"\1", b"\1"))] * 2, b"\x80"),
        kind(
            "DataFrame", *[kind("Index", b"\x81\xf6", kind("range", b"\0", b"\2", b"\1"))] * 2, b"\xd8\x28\x82\x81\1\xd8\x40\x41\0"
        ),
    ],
)
def test_hostile_tables_are_refused(data):
    pytest.importorskip("pandas")
    with pytest.raises(ValueError):
        decode(data)


def test_without_numpy_arrays_arrive_as_records():
    numpy = pytest.importorskip("numpy")
    pandas = pytest.importorskip("pandas")
    data = encode([numpy.arange(3), numpy.array([True]), pandas.DataFrame({"a": [1]}), pandas.Series(["x"])])
    script = f"""{ALONE}
sys.modules["numpy"] = sys.modules["pandas"] = None
for item in _value_test.decode_value(bytes.fromhex({data.hex()!r})):
    print(item.type_name, list(item))
"""
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert found.stdout.splitlines() == [
        "numpy.ndarray ['dtype', 'shape', 'data']",
        "numpy.ndarray ['dtype', 'data']",
        "pandas.DataFrame ['columns', 'index', 'values']",
        "pandas.Series ['name', 'index', 'values']",
    ], found.stderr


@pytest.mark.parametrize(
    ("made", "loaded"),
    [
        ('{"a": [1, (2, "x")], "b": array.array("d", [1.5])}', []),
        ("numpy.arange(3)", ["numpy"]),
        ("numpy.array(['a', None], object)", ["numpy"]),
        ("pandas.Series([1.5])", ["numpy", "pandas"]),
    ],
)
def test_a_library_is_imported_when_a_value_has_something_of_it(made, loaded):
    numpy, pandas = pytest.importorskip("numpy"), pytest.importorskip("pandas")
    data = encode(eval(made, {"array": array, "numpy": numpy, "pandas": pandas}))
    script = f"""{ALONE}
value = _value_test.decode_value(bytes.fromhex({data.hex()!r}))
assert _value_test.encode_value(value).hex() == {data.hex()!r}
print([name for name in ("numpy", "pandas") if name in sys.modules])
"""
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert found.stdout == f"{loaded}\n", found.stderr


def label_bytes(name, labels):
    """A table's index of these labels, as a guest may write it: flat or, as the only level, of a MultiIndex."""
    items = head(4, len(labels)) + b"".join(labels)
    if name == "flat":
        return kind("Index", b"\x81\xf6", kind("ndarray", b"\x61O", b"\x81" + head(0, len(labels)), items))
    return kind("Index", b"\x81\xf6", head(4, len(labels)) + b"".join(kind("tuple", label) for label in labels))


@pytest.mark.parametrize("name", ["flat", "levels"])
def test_labels_that_are_compared_at_length_are_refused(name):
    pytest.importorskip("pandas")
    small, large = decimal.Decimal("1.5"), 10**3000  # equal to the Decimal of it, which takes long to be seen
    assert decode(label_bytes(name, [encode(small)] * 3000)).nunique() == 1
    assert decode(label_bytes(name, [encode(decimal.Decimal(large))] + [encode(large)] * 10)).nunique() == 1
    for labels in [decimal.Decimal(large)] + [large] * 1000, [2**61 + n * (2**61 - 1) for n in range(3000)]:
        with pytest.raises(ValueError, match="equal hashes"):
            decode(label_bytes(name, list(map(encode, labels))))


def test_large_arrays_can_travel_beside_the_value():
    numpy = pytest.importorskip("numpy")
    large, small, buffers = numpy.arange(100_000.0).reshape(100, 1000), numpy.arange(3), []
    data = encode({"large": large, "small": small, "again": large}, buffers=buffers)
    assert len(data) < 200 and len(buffers) == 1 and buffers[0] is large
    result = decode(data, buffers=[memoryview(large).cast("B").toreadonly()])
    assert (result["large"] == large).all() and result["again"] is result["large"]
    assert not result["large"].flags.writeable and numpy.shares_memory(result["large"], large)
    for wrong in ([], [b"short"]):
        with pytest.raises(ValueError):
            decode(data, buffers=wrong)
    with pytest.raises(ValueError, match="not bytes"):
        decode(data)  # a guest cannot name buffers of the host


# ---- What a value is counted as -----------------------------------------------------------------------------------


def cost(value):
    costs = []
    decode(encode(value, strict=True), costs=costs)
    return costs[0]


@pytest.mark.parametrize(("widest", "width"), [
    ("a", 1), ("\x7f", 1), ("\x80", 1), ("\xff", 1), ("\u0100", 2), ("\u07ff", 2), ("\u0800", 2), ("\uffff", 2),
    ("\U00010000", 4), ("\U0010ffff", 4), ("\ud800", 2), ("\udfff", 2),
])  # fmt: skip
def test_a_text_counts_as_its_characters_at_the_width_of_its_widest(widest, width):
    for length in [*range(34), 255 * 16 - 1, 255 * 16, 255 * 16 + 1, 9999]:
        for plain in "a", "\xe9":
            for text in plain * length + widest, widest + plain * length, plain * (length // 2) + widest + plain * length:
                assert cost(text) == len(text) * width


@pytest.mark.parametrize("text", ["a" * 50, "\xe9" * 50, "\u4e2d" * 50, "\U0001f600" * 50, "a" * 49 + "\u4e2d", "a" * 49 + "\U0001f600"],
                         ids=range(6))  # fmt: skip
def test_a_text_may_take_exactly_the_memory_that_is_left(text):
    numpy = pytest.importorskip("numpy")
    array = numpy.array(["x" * 500, *[""] * 20])  # 500 characters for each, once it is an array
    without = len("U") + 500 + 21 * 500 * 4
    for fill in range(4):  # so many bytes that the sum is at, and about, a multiple of four
        memory = without + cost(text) + fill
        data = encode([array, text, b"x" * fill], strict=True)
        assert len(data) < memory // 4 - 1
        assert decode(data, bytes=-(-memory // 4))[1] == text
        with pytest.raises(ValueError, match="memory"):
            decode(data, bytes=-(-memory // 4) - 1)


def test_equal_hashes_are_found_among_any_number_of_others():
    others = [n + 0.5 for n in range(100_000)]
    prime = 2**61 - 1  # hashes of numbers are residues of it
    few, many = ([2**61 + n * prime for n in range(count)] for count in (1000, 3000))
    assert back(others + few) and back(dict.fromkeys(others + few)) and back(set(few))
    for wrong in dict.fromkeys(others + many), dict.fromkeys(many + others), set(many):
        data = encode(wrong, strict=True)
        with pytest.raises(ValueError, match="equal hashes"):
            decode(data)
