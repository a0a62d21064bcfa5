"""Read-only views of what the host hands over. `given` is evaluated outside and proxied on its way in."""

from __future__ import annotations

import sys
from collections.abc import Callable

import pytest
from conftest import Outcome

Run = Callable[..., Outcome]

LIST = {"data": "[1, [2, 3], {'k': [4]}, (5, [6])]"}
DICT = {"data": "{'a': 1, 'b': [2], 'c': {'d': 3}}"}
PERSON = {
    "data": "type('Person', (), {'__doc__': 'Person doc', '__str__': lambda s: 'str', '__repr__': lambda s: 'repr', "
    "'__hash__': lambda s: 42, 'name': 'haypo', '_secret': 1, 'tags': [1], 'greet': lambda s, x='': 'hi ' + s.name + x})()"
}


def check(run: Run, given: dict[str, str], source: str) -> None:
    outcome = run("", source, given=given)
    assert outcome.error is None, outcome.text


@pytest.mark.parametrize(
    "change",
    [
        "data.append(1)", "data.extend([1])", "data.insert(0, 1)", "data.pop()", "data.remove(1)", "data.reverse()",
        "data.sort()", "data.clear()", "data[0] = 1", "del data[0]", "data[:] = []", "data += [1]", "data *= 2",
        "data[1].append(1)", "data[2]['k'] = 1", "data[2]['k'].append(1)", "data[3][1].append(1)", "data.x = 1",
    ],
)  # fmt: skip
def test_a_list_cannot_be_changed(run: Run, change: str) -> None:
    outcome = run("", change, given=LIST)
    assert (outcome.error, outcome.message) == ("SandboxError", "Read only object")


def test_a_list_can_be_read(run: Run) -> None:
    check(run, LIST, """
assert len(data) == 4 and data[0] == 1 and data[-1] == (5, [6]) and data[1] == [2, 3] and data[1:2] == [[2, 3]]
assert [type(x) for x in data][0] is int and 1 in data and data.index(1) == 0 and data.count(1) == 1
assert repr(data) == "[1, [2, 3], {'k': [4]}, (5, [6])]" and data == data.copy() and list(reversed(data))[-1] == 1
assert data[1] + [4] == [2, 3, 4] and [0] + data[1] == [0, 2, 3] and sorted(data[1]) == [2, 3]
a, b, *c = data
assert a == 1 and type(b) is not list and type(data) is not list and type(data.copy()) is list
copy = data.copy()
copy.append(9)
assert len(data) == 4
""")  # fmt: skip


@pytest.mark.parametrize("call", ["list.append(data, 1)", "list.__iadd__(data, [1])", "list.sort(data)", "type(data)([1])"])
def test_the_methods_of_list_do_not_take_it(run: Run, call: str) -> None:
    assert run("", call, given=LIST).error == "TypeError"


@pytest.mark.parametrize(
    "change",
    ["data['x'] = 1", "del data['a']", "data.update(x=1)", "data.pop('a')", "data.popitem()", "data.clear()",
     "data.setdefault('x', 1)", "data |= {}", "data['b'].append(1)", "data['c']['d'] = 1"],
)  # fmt: skip
def test_a_dict_cannot_be_changed(run: Run, change: str) -> None:
    outcome = run("", change, given=DICT)
    assert (outcome.error, outcome.message) == ("SandboxError", "Read only object")


def test_a_dict_can_be_read(run: Run) -> None:
    check(run, DICT, """
assert data['a'] == 1 and data['b'] == [2] and data.get('z', 7) == 7 and data.get('b') == [2] and 'a' in data and len(data) == 3
assert list(data) == ['a', 'b', 'c'] == list(data.keys()) and [k for k, v in data.items() if v == 1] == ['a']
assert {**data}['a'] == 1 and dict(data)['c'] == {'d': 3} and data == data.copy()
try:
    data['z']
except KeyError:
    pass
else:
    assert False
""")  # fmt: skip


def test_an_object_can_be_read(run: Run) -> None:
    check(run, PERSON, """
assert data.name == 'haypo' and data.greet() == 'hi haypo' and data.greet(x='!') == 'hi haypo!' and data.tags == [1]
assert data.__doc__ == 'Person doc' and str(data) == 'str' and repr(data) == 'repr' and hash(data) == 42 and data == data
assert data.__str__() == 'str' and data.__hash__() == 42 and data.__str__.__name__ == '__str__'
assert 'name' in dir(data) and '_secret' not in dir(data)
""")  # fmt: skip


@pytest.mark.parametrize(
    "change", ["data.name = 'victor'", "del data.name", "data.tags.append(2)", "data.__class__ = int", "setattr(data, 'name', 1)"]
)
def test_an_object_cannot_be_changed(run: Run, change: str) -> None:
    outcome = run("", change, given=PERSON)
    assert (outcome.error, outcome.message) == ("SandboxError", "Read only object")


def test_an_objects_dict_is_a_view_of_what_is_public(run: Run) -> None:
    given = {"data": "__import__('types').SimpleNamespace(name='haypo', _secret=1)"}
    check(run, given, "assert data.__dict__ == {'name': 'haypo'} == vars(data)")
    outcome = run("", "data.__dict__['name'] = 1", given=given)
    assert (outcome.error, outcome.message) == ("SandboxError", "Read only object")


@pytest.mark.parametrize(
    "attempt",
    ["data._secret", "data.greet.__self__", "data.greet.__func__", "data.greet.__globals__", "data.__init__.__globals__",
     "object.__getattribute__(data, 'target')", "object.__getattribute__(data, 'name')", "data.__reduce_ex__(2)",
     "super(type(data), data).name", "data.__class__.name", "data.__slots__", "data.__weakref__"],
)  # fmt: skip
def test_an_object_leads_to_nothing_behind_it(run: Run, attempt: str) -> None:
    assert run("", attempt, given=PERSON).error == "AttributeError"


@pytest.mark.parametrize(
    "attempt", ["type(data)()", "type('T', (type(data),), {})", "type(data).x = 1", "object.__setattr__(data, 'name', 1)"]
)
def test_the_types_of_proxies_are_closed(run: Run, attempt: str) -> None:
    assert run("", attempt, given=PERSON).error in ("TypeError", "AttributeError")


def test_comparing_never_shows_what_is_behind(run: Run) -> None:
    check(run, LIST, """
seen = []
class Spy:
    def __eq__(self, other): seen.append(type(other)); return False
    __hash__ = None
    __radd__ = __lt__ = __gt__ = __eq__
data == Spy(), data[1] == Spy(), [Spy()] == data, data[1] == [Spy(), Spy()]
try:
    data + Spy()
except TypeError:
    pass
seen.clear()
class Change(Spy):
    def __eq__(self, other):
        seen.append(type(other))
        try:
            other.append(4)
        except Exception:
            pass
data == [1, Change(), 0, 0], [1, Change(), 0, 0] == data, data[1] == Change(), Change() == data[1]
assert len(seen) >= 3 and data[1] == [2, 3] and len(data) == 4
""")  # fmt: skip


@pytest.mark.parametrize("value", ["None", "True", "7", "2.5", "'text'", "b'bytes'", "3j", "...", "(1, 'a')", "frozenset({1})"])
def test_plain_values_are_given_as_they_are(run: Run, value: str) -> None:
    check(run, {"data": value}, f"assert data == {value} and type(data) is type({value})")


@pytest.mark.parametrize("value", ["__import__('sys')", "(x for x in ())", "(lambda: 0).__code__"])
def test_what_leads_further_cannot_be_proxied(run: Run, value: str, python: str, where: str) -> None:
    is_other = "__code__" in value and where == "jar" and python != sys.executable  # its bytecode means something else there
    with pytest.raises(
        AssertionError, match="between equal versions of Python only" if is_other else "Unable to proxy a value of type"
    ):
        run("", "pass", given={"data": value})


def test_a_functions_results_are_proxied(run: Run, python: str, where: str) -> None:
    given = {"data": "lambda: [1, 2]"}
    if where == "jar" and python != sys.executable:  # its bytecode means something else there
        with pytest.raises(AssertionError, match="between equal versions of Python only"):
            run("", "pass", given=given)
        return
    if where == "jar":  # its code goes there, and what it makes is the program's own
        check(run, given, "assert data() == [1, 2] and type(data()) is list and data.__name__ == '<lambda>'")
        return
    check(run, given, "assert data() == [1, 2] and type(data()) is not list")
    assert run("", "data().append(3)", given=given).message == "Read only object"


def test_a_class_makes_proxied_instances(run: Run, where: str) -> None:
    given = {"data": "__import__('string').Template"}
    if where == "jar":  # there it is the policy's, if the policy has it
        with pytest.raises(AssertionError, match='Import "string" blocked by the sandbox'):
            run("", "pass", given=given)
        return
    check(run, given, "one = data('a b')\nassert one.template == 'a b' and data.__name__ == 'Template'")
    assert run("", "data('a b')._invalid", given=given).error == "AttributeError"
    assert run("", "data.x = 1", given=given).message == "Read only object"
