"""Functions and methods of the host that a sandbox hands back are the host's own, wherever they are in what it says."""

from __future__ import annotations

import collections
import os
import pathlib

import pytest

from belljar import Opaque, Policy, Readonly, Sandbox, SandboxConfig, SandboxError, Template, readonly

core = pytest.mark.core
PYTHONS = ["/usr/bin/python3", *filter(None, os.environ.get("BELLJAR_PYTHONS", "").split(":"))]
SAY = (pathlib.Path(__file__).parent.parent / "limits" / "attacks" / "_say.py").read_text()


class Shop:
    def __init__(self):
        self.prices = {"tea": 3}

    def price(self, name):
        return self.prices[name]

    def all_prices(self):
        yield from self.prices.values()


class Answers:
    """Equal to whatever is asked, which must not be asked."""

    asked = 0
    __hash__ = None

    def __call__(self, x=1):
        return x

    def __eq__(self, other):
        Answers.asked += 1
        return True


def lookup(name):
    return shop.price(name)


async def later(name):
    return name


shop, odd, table, numbers = Shop(), Answers(), {"a": 1}, [3, 1]
EXPOSED = {"lookup": lookup, "length": len, "later": later, "reckon": Shop().price, "odd": odd}
SHOWN = {"shop": readonly(shop, methods=["price", "all_prices"]), "table": readonly(table), "numbers": readonly(numbers),
         "pair": readonly((1, 2)), "kinds": readonly({1}), "line": readonly(collections.deque([1]))}  # fmt: skip
KINDS = {
    **EXPOSED, "shop.price": shop.price, "table.get": table.get, "table.keys": table.keys, "table.copy": table.copy,
    "numbers.index": numbers.index,
}  # fmt: skip
POSITIONS = {
    "itself": ("{}", lambda found: [found]),
    "in a list": ("[{}]", list),
    "in a tuple": ("(1, ({},))", lambda found: found[1]),
    "a value": ("{{'k': {}}}", lambda found: [found["k"]]),
    "deep": ("[[[[{{'k': [{}]}}]]]]", lambda found: found[0][0][0][0]["k"]),
    "twice": ("[{0}, {0}]", list),
    "in a set": ("{{{}}}", list),
    "in a frozenset": ("frozenset([{}])", list),
    "a key": ("{{{}: 1}}", list),
    "in a key": ("{{(1, {}): 2}}", lambda found: [key[1] for key in found]),
}
HASHED = {"in a set", "in a frozenset", "a key", "in a key"}


@pytest.fixture(scope="module", params=[(kind, python) for python in PYTHONS for kind in ("open", "language")],
                ids=lambda param: f"{param[0]}-{pathlib.Path(param[1]).resolve().name}")  # fmt: skip
def session(request):
    kind, python = request.param
    policy = Policy(timeout=30) if kind == "open" else SandboxConfig("asyncio", "stdout")
    with Template(policy, python=python) as template, Sandbox(template=template) as session:
        for name, function in EXPOSED.items():
            session.expose(function, name)
        for name, view in SHOWN.items():
            session[name] = view
        session.expose(lambda *args, **kw: session.seen.append((*args, *kw.values())), "tell")
        yield session


@core
@pytest.mark.parametrize("position", POSITIONS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_function_of_the_host_comes_back_as_itself(session, kind, position):
    form, take = POSITIONS[position]
    text, session.seen, asked = form.format(kind), [], Answers.asked
    execution = session.run_code(f"tell({text}, named={text})\nresult = {text}\n{text}")
    assert execution.error is None, execution.error.traceback
    for answer in (*session.seen[0], execution.value, session["result"]):
        for found in take(answer):
            if kind == "odd":  # its class has an __eq__ and no hash: a view in its place is equal to itself
                assert (found.original if position in HASHED else found) is odd
            else:
                assert found == KINDS[kind] and type(found) is type(KINDS[kind])
    assert Answers.asked == asked


MORE = [
    ("table.keys()", lambda found: found == table.keys() and type(found) is type(table.keys())),
    ("table.items()", lambda found: found == table.items()),
    ("kinds.union", lambda found: found({2}) == {1, 2}),
    ("line.count", lambda found: found(1) == 1),
    ("pair.index", lambda found: found(2) == 1),
    ("shop.all_prices()", lambda found: type(found) is Readonly and list(found.original) == [3]),
    ("table.get('a', []), table.get('z', [5]), table.copy(), kinds.union({2})", lambda found: found == (1, [5], {"a": 1}, {1, 2})),
    ("table.get == table.get, table.get != table.keys, {table.get: 1}[table.get]", lambda found: found == (True, True, 1)),
    ("hasattr(pair, 'copy'), hasattr(numbers, 'copy')", lambda found: found == (False, True)),
    ("lookup('tea'), shop.price('tea'), length('four')", lambda found: found == (3, 3, 4)),
    ("(lambda: 1), numbers.__len__", lambda found: all(type(one) is Opaque for one in found)),
]


@core
@pytest.mark.parametrize(("code", "holds"), MORE, ids=[code for code, _ in MORE])
def test_what_methods_are_and_make(session, code, holds):
    execution = session.run_code(code)
    assert execution.error is None, execution.error.traceback
    assert holds(execution.value), execution.value


@core
def test_one_function_under_two_names_is_two_keys():
    with Sandbox(Policy()) as sandbox:
        sandbox.expose(lookup)
        sandbox.expose(lookup, "other")
        sandbox.expose(shop.price, "reckon")
        sandbox["shop"] = SHOWN["shop"]
        found = sandbox.run_code("{lookup: 1, other: 2, reckon: 3, shop.price: 4, (lookup,): 5}").value
        assert list(found.values()) == [1, 2, 3, 4, 5]
        assert [key.original if type(key) is Readonly else key for key in found][:4] == [lookup, lookup, shop.price, shop.price]
        assert sandbox.run_code("[lookup, other, reckon, shop.price]").value == [lookup, lookup, shop.price, shop.price]


@core
def test_a_branch_gives_back_the_same_functions():
    try:
        with Sandbox(Policy()) as sandbox:
            sandbox.expose(lookup)
            with sandbox.fork() as twin:
                assert twin.run_code("[lookup]").value == [lookup]
    except SandboxError as error:
        if error.step == "fork" or "namespace" in str(error):
            pytest.skip(f"this machine forks no session: {error}")
        raise


METHOD = "thing(b'method', {}, text(b'{}'))"  # as _say.py writes it
FORGED = {
    "a function that was not exposed": ("0", "open"), "what answers input()": ("0", "<stdin>"), "a method that is not named": ("number", "all"),
    "a private one": ("number", "__init__"), "data": ("number", "prices"), "one of another object": ("99", "price"), "none": ("number", ""),
    "not a mapping's": ("number", "keys()"), "called": ("number", "price()"),
}  # fmt: skip


@core
def test_what_was_not_given_is_refused_and_what_was_is_not():
    with Sandbox(Policy(), files={"say.py": SAY}, stdin=lambda prompt: "line") as sandbox:
        calls = []
        sandbox.expose(lambda *args, **kw: calls.append(args[0]), "f")
        sandbox["shop"] = readonly(shop, methods=["price"])
        code = "exec(open('say.py').read()); number = shop._host[0]; f(0)\nimport struct\nanswers = []\n"
        rows = [METHOD.format(f"whole({number})", name) for number, name in (*FORGED.values(), ("0", "f"), ("number", "price"))]
        for at, row in enumerate(rows):
            code += (f"ask(head(4, 4) + head(4, 0) + text(b'f') + head(4, 1) + {row} + b'\\xa0', {1000 + at})\n"
                     "kind = struct.unpack('<II', os.read(3, 8)); answers.append(os.read(3, kind[0]))\n")  # fmt: skip
        execution = sandbox.run_code(code + "answers")
        assert execution.error is None, execution.error.traceback
        *refused, first, second = execution.value
        assert all(b"ReferenceError" in data for data in refused) and b"Error" not in first + second
        assert len(calls) == 3 and calls[2] == shop.price


@core
def test_a_forged_method_in_a_result_is_an_error_here():
    with Sandbox(Policy()) as sandbox:
        sandbox["shop"] = readonly(shop, methods=["price"])
        execution = sandbox.run_code("f = shop.price; f._host = f._host[0], '__class__'; f")
        with pytest.raises(SandboxError, match="no such host function or method"):
            raise AssertionError(execution.value)
        assert sandbox.run_code("1").value == 1
