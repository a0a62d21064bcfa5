"""Read-only views: what they show, and that nothing else can be got out of them, also by a guest that
speaks for itself on the channel."""

from __future__ import annotations

import collections
import datetime
import enum
import functools
import gc
import threading
import types

import pytest

import belljar
from belljar import Policy, ProtocolError, Sandbox, SandboxError, Template, readonly
from belljar import _proxy as proxy
from belljar.config import SandboxConfig

core = pytest.mark.core
PYTHON = "/usr/bin/python3"

# What a guest that speaks for itself says: ask(kind, message) as belljar's own text there does.
FORGE = """
def forge(thing, operation, *arguments, keywords=None, handle=None):
    names = type(thing).__mro__[1].__getattr__.__globals__
    message = [[], thing._host[0] if handle is None else handle, operation, list(arguments)]
    if keywords is not None: message.append(keywords)
    return names['ask'](2, message)
def release(thing, *released):
    names = type(thing).__mro__[1].__getattr__.__globals__
    names['released'].extend(released)
"""


class Color(enum.Enum):
    RED = 1


class Item:
    kind = "item"  # of the class, not of the object: not shown
    count = 0

    def __init__(self, name, price):
        self.name, self.price = name, price
        self._secret = "secret"
        self.owner = None
        self.tags = ["a", "b"]
        self.color = Color.RED
        self.when = datetime.date(2024, 1, 2)

    @property
    def double(self):
        type(self).count += 1
        return self.price * 2

    def __getattr__(self, name):
        type(self).count += 1
        return "made up"

    def discounted(self, percent):
        return self.price * (100 - percent) / 100

    def set_price(self, price):
        self.price = price

    def copies(self, n):
        return [Item(self.name, self.price) for _ in range(n)]

    def stream(self):
        for n in range(5):
            yield n

    def __eq__(self, other):
        type(self).count += 1
        return NotImplemented

    __hash__ = object.__hash__


class Slotted:
    __slots__ = ("_b", "a", "unset")

    def __init__(self):
        self.a, self._b = 1, 2


class Shop(collections.abc.Mapping):
    def __init__(self, items):
        self.items_ = items
        self.entered = []

    def __getitem__(self, key):
        return self.items_[key]

    def __iter__(self):
        return iter(self.items_)

    def __len__(self):
        return len(self.items_)

    def __call__(self, name):
        return self.items_[name]

    def __enter__(self):
        self.entered.append("in")
        return self

    def __exit__(self, kind, error, traceback):
        self.entered.append((kind, str(error) if error else None, traceback))
        return kind is KeyError


Point = collections.namedtuple("Point", "x y")


@pytest.fixture(scope="module")
def template():
    with Template(Policy(timeout=10, memory="400M"), python=PYTHON) as template:
        yield template


@pytest.fixture
def sandbox(template):
    with Sandbox(template=template) as sandbox:
        sandbox.run_code(FORGE)
        yield sandbox


def value(sandbox, code):
    ex = sandbox.run_code(code)
    assert ex.error is None, ex.error
    return ex.value


def error(sandbox, code):
    ex = sandbox.run_code(code)
    assert ex.error is not None, ex.value
    return ex.error.name


# ---- What is shown -----------------------------------------------------------------------------------------------

LIST = [3, "two", [1, 2], {"k": {"deep": [None]}}, (4, 5), {7, 8}, Item("apple", 10)]
SHOWN = [
    ("len(x)", 7), ("x[0]", 3), ("x[-1].name", "apple"), ("x[2][1]", 2), ("x[3]['k']['deep'][0]", None), ("x[4]", (4, 5)),
    ("sorted(x[5])", [7, 8]), ("x[2] == [1, 2]", True), ("x[2] != [1, 2]", False), ("x[2] < [1, 3]", True),
    ("x[5] >= {7}", True), ("x[5] == {7, 8}", True), ("'two' in x", True), ("'one' in x", False), ("x[-1] in x", True),
    ("x.index('two'), x.count(3)", (1, 1)), ("[type(i).__name__ for i in x][:2]", ["int", "str"]), ("list(reversed(x))[-1]", 3),
    ("x[0:2][1]", "two"), ("len(x[1:])", 6), ("'k' in x[3], 'z' in x[3]", (True, False)), ("x[3].get('z', 9)", 9),
    ("list(x[3]), list(x[3].keys()), len(x[3].values())", (["k"], ["k"], 1)), ("[k for k, v in x[3].items()]", ["k"]),
    ("x[5].isdisjoint({1})", True), ("repr(x[2]), repr(x[3]), repr(x[5])", ("[1, 2]", "{'k': {'deep': [None]}}", "{8, 7}")),
    ("x[-1] == x[-1], x[-1] is x[-1], x[-1] == 5", (True, True, False)), ("bool(x), not x[2][2:]", (True, True)),
    ("a, *b = x[2]\n(a, b)", (1, [2])),
    ("x[-1].price, hasattr(x[-1], 'kind'), x[-1].color is not None, x[-1].when.year", (10, False, True, 2024)),
    ("hasattr(x[-1], '_secret'), hasattr(x[-1], 'double')", (False, False)),
    ("{x[-1]: 1}[x[-1]]", 1),
    ("sorted(dir(x[-1]))", ["color", "name", "owner", "price", "tags", "when"]),
]  # fmt: skip


@core
@pytest.mark.parametrize(("code", "expected"), SHOWN, ids=[row[0] for row in SHOWN])
def test_what_a_view_shows(sandbox, code, expected):
    sandbox["x"] = readonly(LIST)
    if code.startswith("repr"):
        assert value(sandbox, code)[:2] == expected[:2]
    else:
        assert value(sandbox, code) == expected


def test_it_is_a_view_and_no_copy(sandbox):
    prices = {"apple": 3}
    sandbox["prices"] = readonly(prices)
    assert value(sandbox, "prices['apple'], len(prices)") == (3, 1)
    prices["apple"] = 4
    prices["pear"] = 5
    assert value(sandbox, "prices['apple'], len(prices)") == (4, 2)


def test_slots_and_named_tuples(sandbox):
    sandbox["s"], sandbox["p"] = readonly(Slotted()), readonly(Point([1], 2))
    assert value(sandbox, "s.a, hasattr(s, '_b'), hasattr(s, 'unset'), p.x[0], p[1], p.y, len(p)") == (1, False, False, 1, 2, 2, 2)


def test_named_attributes_methods_and_operations(sandbox):
    item = Item("apple", 10)
    sandbox["x"] = readonly(item, attributes=["double", "name"], methods=["discounted", "copies", "stream"])
    assert value(sandbox, "x.double, x.name, x.discounted(percent=50), x.discounted(10)") == (20, "apple", 5.0, 9.0)
    assert error(sandbox, "x.price") == "AttributeError"
    assert error(sandbox, "x.set_price(1)") == "AttributeError"
    assert value(sandbox, "[i.name for i in x.copies(2)], list(x.stream())") == (["apple", "apple"], [0, 1, 2, 3, 4])
    assert error(sandbox, "x.copies(1)[0].set_price(1)") == "AttributeError"
    assert item.price == 10


def test_rules_for_types_hold_for_what_is_reached(sandbox):
    shop = Shop({"a": Item("apple", 10)})
    sandbox["shop"] = readonly(shop, operations={Shop: ["item", "len", "iter", "contains", "call"]}, methods={Item: ["discounted"]})
    assert value(sandbox, "shop['a'].discounted(50), len(shop), list(shop), 'a' in shop, 'b' in shop, shop('a').name") == (
        5.0, 1, ["a"], True, False, "apple")  # fmt: skip
    assert error(sandbox, "shop['b']") == "KeyError"


def test_operations_are_not_there_unless_they_are_named(sandbox):
    sandbox["shop"] = readonly(Shop({"a": 1}))
    for code in ("shop['a']", "len(shop)", "list(shop)", "'a' in shop", "shop('a')", "with shop: pass"):
        assert error(sandbox, code) == "TypeError"
    for operation, arguments in (("item", "'a'"), ("len", ""), ("iter", "''"), ("contains", "'a'"), ("call", "'a'"), ("enter", "")):
        assert error(sandbox, f"forge(shop, {operation!r}{', ' * bool(arguments)}{arguments})") == "TypeError"


@core
def test_contexts(sandbox):
    shop = Shop({})
    sandbox["shop"] = readonly(shop, operations=["with"])
    assert value(sandbox, "with shop as s:\n  r = s is shop\nr") is True
    assert error(sandbox, "with shop: raise ValueError('why')") == "ValueError"
    assert value(sandbox, "with shop: raise KeyError('gone')\n'swallowed'") == "swallowed"
    assert shop.entered[:5] == ["in", (None, None, None), "in", (ValueError, "why", None), "in"]
    assert shop.entered[5][0] is KeyError and "gone" in shop.entered[5][1] and shop.entered[5][2] is None
    assert error(sandbox, "shop.__exit__(None, None, None)") == "RuntimeError"


def test_a_context_that_is_left_open_is_left_when_the_sandbox_ends(template):
    shop = Shop({})
    with Sandbox(template=template) as sandbox:
        sandbox["shop"] = readonly(shop, operations=["with"])
        sandbox.run_code("shop.__enter__()")
    assert shop.entered[1][0] is SandboxError


def test_iteration_sees_what_there_was_when_it_began(sandbox):
    numbers = list(range(1000))
    sandbox["x"] = readonly(numbers)
    sandbox.expose(numbers.clear, "clear")
    assert value(sandbox, "n = 0\nfor i in x:\n  clear()\n  n += 1\nn") == 1000
    names = {str(n): n for n in range(1000)}
    sandbox["d"] = readonly(names)
    sandbox.expose(names.clear, "clear")
    assert value(sandbox, "sum(v for k, v in d.items() if clear() is None)") == 499500


# ---- What is not -------------------------------------------------------------------------------------------------

WRITES = [
    "x[0] = 1", "del x[0]", "x += [1]", "x *= 2", "x.a = 1", "del x.a", "d['a'] = 1", "del d['a']", "d |= {1: 2}", "s |= {1}",
    "s -= {1}", "s &= {1}", "s ^= {1}", "i.price = 1", "del i.price", "setattr(i, 'new', 1)",
    "object.__setattr__(i, 'price', 1)", "i.__dict__['price'] = 1", "x.append(1)", "x.clear()", "x.sort()", "x.pop()", "x.extend([1])",
    "d.update(a=1)", "d.pop('a')", "d.clear()", "d.setdefault('q', 1)", "d.popitem()", "s.add(1)", "s.clear()",
    "list.append(x, 1)", "dict.update(d, a=1)", "set.add(s, 1)", "x.__setitem__(0, 1)", "i.set_price(1)",
    "i.tags.append('c')", "i.tags[0] = 'c'", "x.__iadd__([1])", "vars(i)['price'] = 1", "dd['new']", "q.append(1)", "q.appendleft(1)",
    "forge(x, 'setitem', 0, 1)", "forge(x, 'method', 'append', 1)", "forge(x, 'method', '__setitem__', 0, 1)",
    "forge(x, 'method', 'clear')", "forge(d, 'method', 'pop', 'a')", "forge(d, 'method', 'setdefault', 'q', 1)",
    "forge(s, 'method', 'add', 1)", "forge(i, 'method', 'set_price', 1)", "forge(i, 'attribute', 'set_price')(1)",
    "forge(i, 'setattr', 'price', 1)", "forge(i, 'delattr', 'price')", "forge(x, 'method', 'sort', keywords={'key': None})",
    "forge(i, 'method', '__setattr__', 'price', 1)", "forge(i, 'method', '__init__', 'x', 1)",
]  # fmt: skip


@core
@pytest.mark.parametrize("code", WRITES)
def test_nothing_can_be_written(sandbox, code):
    x, d, s, i = [1, 2], {"a": 0}, {1, 2}, Item("apple", 10)
    dd, q = collections.defaultdict(list), collections.deque([1])
    for name, thing in (("x", x), ("d", d), ("s", s), ("i", i), ("dd", dd), ("q", q)):
        sandbox[name] = readonly(thing)
    ex = sandbox.run_code(code)
    assert ex.error is not None and ex.verdict != "violation"
    assert (x, d, s, i.price, i.tags, dd, list(q)) == ([1, 2], {"a": 0}, {1, 2}, 10, ["a", "b"], {}, [1])


@core
@pytest.mark.parametrize("code", ["x[0] = 1", "del x[0]", "i.price = 2", "x += [1]", "forge(x, 'append', 1)"])
def test_writing_says_read_only_object(sandbox, code):
    sandbox["x"], sandbox["i"] = readonly([1]), readonly(Item("a", 1))
    found = sandbox.run_code(code).error
    assert (found.name, found.value) == ("SandboxError", "Read only object")


def secrets():
    def function():
        pass

    class Holder:
        pass

    holder = Holder()
    holder.__dict__.update(
        function=function, method=LIST.append, module=types, cls=Item, generator=(n for n in ()), frame=__import__("sys")._getframe(),
        code=function.__code__, bound=Item("a", 1).set_price, partial_of=[function], wrapped=functools.lru_cache(function),
        file=open("/dev/null"), thread=threading.current_thread(), iterator=iter([1]), builtin=len, slot=Slotted.a, prop=Item.double,
        static=staticmethod(function),
    )  # fmt: skip
    return holder


REFUSED = [name for name in secrets().__dict__ if name != "partial_of"]


@core
@pytest.mark.parametrize("name", REFUSED)
def test_what_leads_behind_an_object_is_not_shown(sandbox, name):
    holder = secrets()
    sandbox["x"] = readonly(holder)
    if name == "wrapped":  # an object like others: without a way to call it or to see into it
        assert value(sandbox, "dir(x.wrapped)") == []
        assert error(sandbox, "x.wrapped()") == "TypeError"
        return
    assert error(sandbox, f"x.{name}") == "AttributeError"
    assert error(sandbox, f"forge(x, 'attribute', {name!r})") == "AttributeError"
    sandbox["y"] = readonly([getattr(holder, name)])
    assert error(sandbox, "y[0]") == "AttributeError"
    assert "not shown" in value(sandbox, "repr(list(y))")
    holder.file.close()


UNDERSCORED = [
    "__class__", "__dict__", "__init__", "__globals__", "__self__", "__func__", "__reduce_ex__", "__mro__", "__subclasses__",
    "_secret", "__getattribute__", "__slots__", "__module__", "__doc__", "__weakref__", "__sizeof__",
]  # fmt: skip


@core
@pytest.mark.parametrize("name", UNDERSCORED)
def test_names_with_an_underscore_are_refused_here_whatever_the_guest_sends(sandbox, name):
    sandbox["i"], sandbox["x"] = readonly(Item("a", 1)), readonly([1])
    for thing in ("i", "x"):
        assert error(sandbox, f"forge({thing}, 'attribute', {name!r})") == "AttributeError"
        assert error(sandbox, f"forge({thing}, 'method', {name!r})") == "AttributeError"
        assert error(sandbox, f"forge({thing}, 'method', {name!r}, 2)") == "AttributeError"


ODD_NAMES = [
    "''",
    "'a b'",
    "'name.upper'",
    "'na\\0me'",
    "'\\u2115ame'",
    "'x' * 1000000",
    "1",
    "None",
    "b'name'",
    "['name']",
    "'naｍe'",
]


@pytest.mark.parametrize("name", ODD_NAMES)
def test_names_that_are_none_are_refused_before_the_object_is_touched(sandbox, name):
    Item.count = 0
    sandbox["i"] = readonly(Item("a", 1), attributes=["name", "double"], methods=["discounted"])
    assert error(sandbox, f"forge(i, 'attribute', {name})") == "AttributeError"
    assert error(sandbox, f"forge(i, 'method', {name})") == "AttributeError"
    assert Item.count == 0


def test_code_of_the_class_does_not_run_for_names_that_are_not_shown(sandbox):
    Item.count = 0
    sandbox["i"] = readonly(Item("a", 1))
    for name in ("double", "nothing", "__len__"):
        assert error(sandbox, f"forge(i, 'attribute', {name!r})") == "AttributeError"
    sandbox.run_code("hasattr(i, 'double'), len(dir(i)), repr(i), str(i), i == 5, i in [1], hash(i), format(i)")
    assert Item.count == 0


def test_a_derived_container_runs_none_of_its_methods(sandbox):
    ran = []

    class Noisy(dict):
        def __getitem__(self, key):
            ran.append(key)

        __len__ = __iter__ = __contains__ = items = keys = __getattribute__ = lambda self, *rest: ran.append(rest)

    sandbox["d"] = readonly(Noisy(a=1))
    assert value(sandbox, "d['a'], len(d), list(d), 'a' in d, dict(d.items())") == (1, 1, ["a"], True, {"a": 1})
    ran = [row for row in ran if row not in (("__dict__",), ("__class__",))]
    assert ran == []


GUEST_ONLY = [
    "import copy; copy.copy(i)", "import copy; copy.deepcopy(i)", "import pickle; pickle.dumps(i)", "type(i)()",
    "class Mine(type(i)): pass", "class Mine(type(i).__mro__[1]): pass", "i.__class__.__new__(i.__class__)", "vars(i)",
    "i + 1", "1 + i", "-i", "int(i)", "i()", "i[0]", "iter(i)", "next(i)", "memoryview(i)", "'%d' % i",
]  # fmt: skip


@pytest.mark.parametrize("code", GUEST_ONLY)
def test_what_a_host_object_does_not_do(sandbox, code):
    sandbox["i"] = readonly(Item("a", 1))
    assert error(sandbox, code) == "TypeError"


def test_texts_of_it_are_made_in_the_sandbox(sandbox):
    sandbox["i"] = readonly(Item("a", 1))
    text = value(sandbox, "repr(i), '%s' % i, f'{i}', repr([i])")
    assert all("0x" not in part and "Item #" in part for part in text)


def test_generators_show_their_items_only(sandbox):
    closed = []

    class Source:
        def numbers(self):
            try:
                n = 0
                while True:
                    yield n
                    n += 1
            finally:
                closed.append(n)

    sandbox["s"] = readonly(Source(), methods=["numbers"])
    assert value(sandbox, "g = s.numbers()\n[next(g), next(g), next(g)]") == [0, 1, 2]
    for name in ("send", "throw", "close", "gi_frame"):
        assert error(sandbox, f"g.{name}") == "AttributeError"
        assert error(sandbox, f"forge(g, 'method', {name!r}, 1)") == "AttributeError"
    sandbox.run_code("del g; import gc; gc.collect()")
    sandbox.run_code("s.numbers")
    sandbox.run_code("repr(s); [s.numbers(), 1][1]")
    gc.collect()
    assert 2 in closed or 3 in closed


def test_an_operand_that_the_guest_made_is_inert(sandbox):
    class Watcher:
        seen = []

        def __eq__(self, other):
            self.seen.append(type(other))
            return False

        __hash__ = None

    sandbox["x"] = readonly([Watcher(), (Watcher(), {"a": [Watcher()]})])
    sandbox["y"] = readonly({"a": Watcher()})
    sandbox.run_code(
        "class Evil:\n  def __eq__(self, o): raise SystemExit\n  def __radd__(self, o): return o\nEvil() in x; x.count(Evil()); x == [Evil()]"
    )
    sandbox.run_code(
        "1 in x; x.count(1); x == [1, (2, 3)]; x[1] == (1, {}); x < [1]; y == {'a': 1}; x == x; x[0] == 1; list(x).index(x[1])"
    )
    assert Watcher.seen == []  # nobody has named its comparison
    assert value(sandbox, "x[0] in x, x.count(x[0]), x.index(x[1]), x == x, x == [1], y == y") == (True, 1, 1, True, False, True)
    sandbox["z"] = readonly(Watcher(), operations=["compare"])  # the twin
    assert value(sandbox, "z == [1]") is False and Watcher.seen == [list]


# ---- Handles -----------------------------------------------------------------------------------------------------


def test_a_forged_number_is_an_error_and_never_another_object(sandbox):
    sandbox["x"] = readonly([1])
    for handle in ("10**6", "0", "-1", "True", "'1'", "1.0", "2**70", "[1]"):
        assert error(sandbox, f"forge(x, 'len', handle={handle})") in ("ReferenceError",)
    assert value(sandbox, "len(x)") == 1


def test_a_number_that_was_given_back_is_never_used_again(sandbox):
    sandbox["x"] = readonly([[1], [2]])
    assert value(sandbox, "h = x[0]._host[0]\nh") > 0
    sandbox.run_code("x[1][0]; x[1][0]")
    assert error(sandbox, "forge(x, 'len', handle=h)") == "ReferenceError"
    assert value(sandbox, "x[0]._host[0] != h")


def test_numbers_of_another_sandbox_mean_nothing(sandbox, template):
    with Sandbox(template=template) as other:
        other["secret"] = readonly(["other's"])
        sandbox["x"] = readonly([[1]])
        for handle in range(1, 20):
            found = sandbox.run_code(f"forge(x, 'item', 0, handle={handle})")
            assert found.error is not None or found.value != "other's"


@pytest.mark.parametrize("released", ["10**6, 1", "x._host[0], 100", "x._host[0], 0", "x._host[0], -1", "x._host[0], 'a'", "1"])
def test_giving_back_what_one_does_not_have_ends_that_sandbox(template, released):
    with Sandbox(template=template) as sandbox, Sandbox(template=template) as other:
        sandbox.run_code(FORGE)
        sandbox["x"] = readonly([1])
        with pytest.raises(ProtocolError, match="gave back|to give back"):
            sandbox.run_code(f"release(x, {released}); len(x)")
        assert other.run_code("1").value == 1


def test_host_objects_are_let_go_when_the_guest_drops_them(sandbox):
    things = [Item(str(n), n) for n in range(50)]
    sandbox["x"] = readonly(things)
    for _ in range(5):
        sandbox.run_code("y = list(x); z = [x[0], x[0]]")
    assert len(sandbox._session.desk.handles) <= 60
    sandbox.run_code("del y, z; len(x)")
    sandbox.run_code("len(x)")
    assert len(sandbox._session.desk.handles) <= 3


def test_a_guest_that_hoards_gets_an_error(sandbox, monkeypatch):
    monkeypatch.setattr(proxy, "HANDLES_MAX", 100)
    sandbox["x"] = readonly([[n] for n in range(200)])
    assert error(sandbox, "held = [x[n] for n in range(200)]") == "SandboxError"
    assert len(sandbox._session.desk.handles) <= 100
    assert value(sandbox, "held = None\nlen(x)") == 200


def test_slices_and_snapshots_count(sandbox, monkeypatch):
    monkeypatch.setattr(proxy, "ITEMS_MAX", 10_000)
    sandbox["x"] = readonly([[] for n in range(3000)])
    assert error(sandbox, "held = [x[:] for n in range(10)]") == "SandboxError"
    assert error(sandbox, "held = []\nheld = [iter(x) for n in range(10)]\n[next(i) for i in held]") == "SandboxError"
    assert value(sandbox, "held = None\nlen(x[:5])") == 5


def test_everything_is_let_go_when_the_sandbox_ends(template):
    class Tracked:
        pass

    thing = Tracked()
    reference = __import__("weakref").ref(thing)
    with Sandbox(template=template) as sandbox:
        sandbox["x"] = readonly(thing)
        del thing
        assert reference() is not None
    gc.collect()
    assert reference() is None


def test_a_branch_keeps_the_host_objects_each_for_itself(sandbox):
    sandbox["x"] = readonly([[1], [2]])
    sandbox.run_code("y = x[0]")
    try:
        twin = sandbox.fork()
    except SandboxError as found:
        pytest.skip(str(found))
    with twin:
        sandbox.run_code("del y; len(x)")
        sandbox.run_code("len(x)")
        assert twin.run_code("y[0], x[1][0]").value == (1, 2)
        assert twin.run_code("del y; len(x)").value == twin.run_code("len(x)").value == 2


def test_views_work_under_a_language_policy_too():
    with Sandbox(SandboxConfig("stdout"), python=PYTHON) as sandbox:
        sandbox["x"] = readonly({"a": [1, 2], "b": Item("apple", 10)})
        assert value(sandbox, "[k for k in x], [n for n in x['a']], len(x), x['b'].name, dict(x.items())['a'][1]") == (
            ["a", "b"], [1, 2], 2, "apple", 2)  # fmt: skip
        for code in ("x['c'] = 1", "x['b'].price = 1", "x['b'].__class__.__mro__", "x._host", "x['b']._secret"):
            assert error(sandbox, code) in ("SandboxError", "AttributeError", "TypeError")


def test_public_names_are_short_identifiers_of_plain_letters():
    assert all(proxy._is_public(name) for name in ("a", "name_", "a1", "x" * 256))
    assert not any(proxy._is_public(name) for name in ("_a", "__a__", "", "1a", "a.b", "a\0", "\u2115", "x" * 257, 1, None, b"a"))


# ---- The wrapper -------------------------------------------------------------------------------------------------


def test_what_readonly_refuses():
    for bad in ({"methods": ["_private"]}, {"attributes": ["__class__"]}, {"methods": ["a b"]}, {"operations": ["setitem"]}):
        with pytest.raises(ValueError):
            readonly(object(), **bad)
    with pytest.raises(TypeError):
        readonly(readonly([]))
    with pytest.raises(TypeError):
        readonly([], methods={"Item": ["x"]})


def test_a_view_does_nothing_on_the_host():
    view = readonly([1])
    assert repr(view) == "<readonly list>" and view.original == [1]
    for use in (len, iter, lambda v: v[0]):
        with pytest.raises(TypeError):
            use(view)
