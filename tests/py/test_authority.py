"""What comes into a sandbox, and what of it may run where: one row for each row of the table in docs/sessions.md, in every way in which
a thing can come in and under every kind of policy. What ran on the host leaves a trace here."""

from __future__ import annotations

import atexit
import functools
import os
import pathlib
import shutil
import tempfile
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from belljar import Policy, Sandbox, SandboxConfig, SandboxError, pysandbox, readonly

core = pytest.mark.core
HOST: list[str] = []
"""What ran in this process."""


def mark(name: str) -> None:
    try:
        HOST.append(name)
    except Exception:
        pass  # a sandbox has a list of its own, which may be read only


def helper(x: int = 1) -> int:
    mark("helper")
    return x * 10


class Doc:
    """Doc's text."""

    kind = "of the class"

    def __init__(self, title: str = "title") -> None:
        self.title = title
        self._secret = "secret"
        self.tags = ["a"]

    def save(self) -> str:
        mark("method")
        return "saved"

    @property
    def loud(self) -> str:
        mark("property")
        return "loud"

    def __getattr__(self, name: str) -> str:
        if not name.startswith("__"):
            mark("getattr")
        raise AttributeError(name)

    def __repr__(self) -> str:
        mark("repr")
        return "Doc()"

    __str__ = __repr__

    def __hash__(self) -> int:
        mark("hash")
        return 1

    def __eq__(self, other: object) -> bool:
        mark("eq")
        return True

    def __len__(self) -> int:
        mark("len")
        return 1


class Made:
    def __init__(self, x: int = 1) -> None:
        mark("constructor")
        self.x = x

    @classmethod
    def make(cls) -> Made:
        mark("classmethod")
        return cls(7)


class Called:
    def __init__(self) -> None:
        self._n = 5

    def __call__(self) -> int:
        mark("call")
        return self._n


# Under a language policy the program gets no more than this.
CONFIG = SandboxConfig("math", recursion_limit=100, max_input_size=1 << 20)
POLICIES: dict[str, Callable[[], Any]] = {
    "open policy": lambda: Sandbox(Policy(timeout=20)),
    "SandboxConfig": lambda: Sandbox(CONFIG),
    "Policy(feature=)": lambda: Sandbox(Policy(feature=["math"], timeout=20)),
    "pysandbox": lambda: pysandbox.Sandbox(CONFIG),
}

# How a thing comes in. `use` is what is done with it there, and `text` the same as code in which it is `x`.


def as_argument(sandbox: Any, thing: Any, use: Callable[[Any], Any], text: str) -> Any:
    return sandbox.call(use, thing)


def as_keyword(sandbox: Any, thing: Any, use: Callable[[Any], Any], text: str) -> Any:
    return sandbox.call(lambda *, key: use(key), key=thing)


def in_a_list(sandbox: Any, thing: Any, use: Callable[[Any], Any], text: str) -> Any:
    return sandbox.call(lambda things: use(things[0]), [thing])


def in_a_nest(sandbox: Any, thing: Any, use: Callable[[Any], Any], text: str) -> Any:
    return sandbox.call(lambda things: use(things["a"][0][0]), {"a": [(thing, {1})], "b": 1})


def as_closure(sandbox: Any, thing: Any, use: Callable[[Any], Any], text: str) -> Any:
    return sandbox.call(lambda: use(thing))


def as_default(sandbox: Any, thing: Any, use: Callable[[Any], Any], text: str) -> Any:
    return sandbox.call(lambda x=thing: use(x))


def as_a_callbacks(sandbox: Any, thing: Any, use: Callable[[Any], Any], text: str) -> Any:
    return sandbox.create_callback(use, thing)()


def as_name(sandbox: Any, thing: Any, use: Callable[[Any], Any], text: str) -> Any:
    names = {"x": thing}
    sandbox.execute(f"result = {text}", names)
    return names["result"]


def in_names_dict(sandbox: Any, thing: Any, use: Callable[[Any], Any], text: str) -> Any:
    names = {"d": {"f": [thing]}}
    sandbox.execute(f"result = (lambda x: {text})(d['f'][0])", names)
    return names["result"]


def as_variable(sandbox: Any, thing: Any, use: Callable[[Any], Any], text: str) -> Any:
    sandbox["x"] = thing
    return ran(sandbox, text)


def in_a_variable(sandbox: Any, thing: Any, use: Callable[[Any], Any], text: str) -> Any:
    sandbox["d"] = {"f": (thing,)}
    return ran(sandbox, f"x = d['f'][0]\n{text}")


def ran(sandbox: Any, text: str) -> Any:
    done = sandbox.run_code(text)
    if done.error is not None:
        raise SandboxError(f"{done.error.name}: {done.error.value}")
    return done.value


WAYS = [
    as_argument,
    as_keyword,
    in_a_list,
    in_a_nest,
    as_closure,
    as_default,
    as_a_callbacks,
    as_name,
    in_names_dict,
    as_variable,
    in_a_variable,
]


VICTIM = os.path.join(tempfile.mkdtemp(), "victim")
atexit.register(shutil.rmtree, os.path.dirname(VICTIM))


class Refused:
    """What an attempt comes to that is not allowed: an exception of the sandbox, with these words in it."""

    def __init__(self, words: str = "") -> None:
        self.words = words


OPEN, STRICT, OLD = ("open policy",), ("SandboxConfig", "Policy(feature=)"), ("pysandbox",)
LANGUAGE = STRICT + OLD

# (row of the table, the thing, what is done with it, the same as text, what comes of it: one for all policies or by policy)
ROWS: list[tuple[str, Any, Callable[[Any], Any], str, Any]] = [
    ("function", helper, lambda x: x(4), "x(4)", 40),
    ("lambda", lambda x: x + 1, lambda x: x(4), "x(4)", 5),
    ("bound method", Doc().save, lambda x: x(), "x()", "saved"),
    ("classmethod", Made.make, lambda x: x().x, "x().x", 7),
    ("partial", functools.partial(helper, 3), lambda x: x(), "x()", 30),
    ("callable object", Called(), lambda x: x(), "x()", 5),
    ("class", Made, lambda x: (x(3).x, x.make().x, isinstance(x(), x)), "(x(3).x, x.make().x, isinstance(x(), x))", (3, 7, True)),
    ("builtin", eval, lambda x: x("1 + 1"), "x('1 + 1')", 2),
    ("builtin", eval, lambda x: x("__import__('os').getpid()"), "x(\"__import__('os').getpid()\")",
     {OPEN: "not the host's", LANGUAGE: Refused('Import "os" blocked by the sandbox')}),
    ("builtin", open, lambda x: x(VICTIM, "w").close(), f"x({VICTIM!r}, 'w').close()",
     {OPEN: Refused("No such file"), LANGUAGE: Refused("Only read modes are allowed")}),
    ("builtin type", int, lambda x: (x("3"), isinstance(1, x)), "(x('3'), isinstance(1, x))", (3, True)),
    ("builtin that a policy lacks", input, lambda x: x(), "x()", {OPEN: Refused("EOF"), LANGUAGE: Refused("builtin input is not among the builtins of the policy")}),
    ("C function of a module", __import__("math").sqrt, lambda x: x(4), "x(4)", 2.0),
    ("C function of a module", os.getpid, lambda x: x(), "x()", {OPEN: "not the host's", LANGUAGE: Refused('Import "os" blocked')}),
    ("C function of a module", os.system, lambda x: x("true"), "x('true')", Refused()),
    ("method of a value", HOST.append, lambda x: x("appended"), "x('appended')", Refused("it would act on an object of this program's")),
    ("object: data", Doc(), lambda x: (x.title, x.tags[0]), "(x.title, x.tags[0])", ("title", "a")),
    ("object: private data", Doc(), lambda x: x._secret, "x._secret", {LANGUAGE: Refused("_secret"), OPEN: Refused("_secret")}),
    ("object: texts", Doc(), lambda x: str(x) + repr(x), "str(x) + repr(x)", {OPEN + STRICT: "<host Doc", OLD: "anything"}),
    ("object: method", Doc(), lambda x: x.save(), "x.save()", {OPEN + STRICT: Refused("save"), OLD: "anything"}),
    ("object: property", Doc(), lambda x: x.loud, "x.loud", {OPEN + STRICT: Refused("loud"), OLD: "anything"}),
    ("object: what its class holds", Doc(), lambda x: x.kind, "x.kind", {OPEN + STRICT: Refused("kind"), OLD: "anything"}),
    ("object: operations", Doc(), lambda x: len(x), "len(x)", {OPEN + STRICT: Refused("len"), OLD: "anything"}),
]  # fmt: skip

# An object that the *code* refers to goes along as a copy without a language policy: its class's code runs there.
COPIES = ("as_closure", "as_default")


def expected(row: Any, policy: str) -> Any:
    if isinstance(row, dict):
        return next(value for names, value in row.items() if policy in names)
    return row


@pytest.fixture(scope="module")
def sandboxes() -> Iterator[dict[str, Any]]:
    made = {name: make() for name, make in POLICIES.items()}
    yield made
    for sandbox in made.values():
        if hasattr(sandbox, "close"):
            sandbox.close()


@core
@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_the_way_in_does_not_change_what_may_run_where(sandboxes: dict[str, Any], policy: str, way: Callable[..., Any]) -> None:
    if policy == "Policy(feature=)" and way not in (as_argument, as_closure, in_names_dict, in_a_variable):
        return  # the same code as SandboxConfig's
    sandbox = sandboxes[policy]
    victim = pathlib.Path(VICTIM)
    for name, thing, use, text, row in ROWS:
        if policy == "pysandbox" and way in (as_variable, in_a_variable):
            continue  # it has none
        if name.startswith("object") and policy == "open policy" and way.__name__ in COPIES:
            continue  # below
        want = expected(row, policy)
        if name.startswith("object") and policy == "pysandbox" and way.__name__ in COPIES:
            want = expected(row, "SandboxConfig")  # nobody handed it in: the code refers to it
        victim.write_text("precious")
        HOST.clear()
        try:
            found = way(sandbox, thing, use, text)
        except Exception as error:
            assert isinstance(want, Refused), (name, policy, way.__name__, error)
            assert want.words in str(error), (name, policy, way.__name__, error)
        else:
            assert not isinstance(want, Refused), (name, policy, way.__name__, found)
            if want == "not the host's":
                assert type(found) is int and found != os.getpid()
            elif want == "<host Doc":
                assert "<host Doc #" in found and "0x" not in found
            elif want != "anything":
                assert found == want, (name, policy, way.__name__)
        if want != "anything":
            assert HOST == [], (name, policy, way.__name__)  # nothing ran here
        assert victim.read_text() == "precious"


def test_an_object_that_code_refers_to_is_copied_without_a_language_policy(sandboxes: dict[str, Any]) -> None:
    doc = Doc()
    HOST.clear()
    assert sandboxes["open policy"].call(lambda: (doc.title, doc.save(), doc.loud, len(doc))) == ("title", "saved", "loud", 1)
    assert HOST == []


# ---- What names it ---------------------------------------------------------------------------------------------------


@core
@pytest.mark.parametrize("policy", [name for name in POLICIES if name != "pysandbox"])
def test_what_is_named_runs_here(sandboxes: dict[str, Any], policy: str) -> None:
    sandbox = sandboxes[policy]
    for view, text, value, traces in (
        (readonly(Doc(), methods=["save"]), "x.save()", "saved", ["method"]),
        (readonly(Doc(), attributes=["loud", "title"]), "(x.loud, x.title)", ("loud", "title"), ["property"]),
        (readonly(Doc(), operations=["len"]), "len(x)", 1, ["len"]),
        (readonly(Doc(), operations=["repr"]), "repr(x)", "Doc()", ["repr"]),
        (readonly(Doc(), operations=["str"]), "str(x)", "Doc()", ["repr"]),
        (readonly(Doc(), operations=["hash"]), "hash(x)", 1, ["hash"]),
        (readonly(Doc(), operations=["doc"]), "x.__doc__", "Doc's text.", []),
    ):
        HOST.clear()
        sandbox["x"] = view
        assert (ran(sandbox, text), HOST) == (value, traces)
        assert sandbox.call(lambda things: 1, [view]) == 1
    sandbox.expose(helper, "helper")
    HOST.clear()
    assert (ran(sandbox, "helper(3)"), HOST) == (30, ["helper"])


def test_texts_that_are_named_show_no_address(sandboxes: dict[str, Any]) -> None:
    class Plain:
        pass

    thing = Plain()
    for policy in ("open policy", "SandboxConfig"):
        sandboxes[policy]["x"] = readonly(thing, operations=["repr", "str", "hash"])
        text, number = ran(sandboxes[policy], "(repr(x) + str(x), hash(x))")
        assert "0x" not in text and "Plain object" in text and number not in (hash(thing), id(thing))


def test_a_class_that_lies_about_itself_runs_nothing(sandboxes: dict[str, Any]) -> None:
    class Meta(type):
        def __getattribute__(cls, name: str) -> Any:
            if name not in ("__mro__", "__dict__", "__module__"):
                HOST.append(name)
            return type.__getattribute__(cls, name)

    class Liar(metaclass=Meta):
        def __init__(self) -> None:
            self.data = 1

        @property
        def __class__(self) -> Any:  # type: ignore[override]
            HOST.append("__class__")
            return list

    liar = Liar()
    sandbox = sandboxes["SandboxConfig"]
    HOST.clear()
    sandbox["x"] = [liar]
    assert ran(sandbox, "(x[0].data, str(x[0])[:10])") == (1, "<host Liar")
    assert ran(sandbox, "try:\n  x[0].other\nexcept AttributeError as e:\n  r = 'gone'\nr") == "gone"
    assert HOST == []


def test_pysandbox_calls_what_it_was_handed_itself_and_no_function_or_class_of_it() -> None:
    sandbox = pysandbox.Sandbox(CONFIG)
    HOST.clear()
    names: dict[str, Any] = {"doc": Doc(), "docs": [Doc()]}
    sandbox.execute("saved = doc.save(), docs[0].save(), doc.loud", names)
    assert names["saved"] == ("saved", "saved", "loud") and HOST.count("method") == 2
    HOST.clear()
    sandbox.execute("a = f(2); b = T(3).x; c = M()", {"f": helper, "T": Made, "M": Doc().save})
    assert HOST == []
    with pytest.raises(SandboxError, match="Unable to proxy a value of type <class 'module'>"):
        sandbox.execute("", {"os": os})


def test_the_table_is_in_the_documentation() -> None:
    pages = pathlib.Path(__file__).resolve().parents[2] / "docs"
    table = (pages / "sessions.md").read_text().split("## What came in, and what may run where")[1].split("\n## ")[0]
    rows = {line.split("|")[1].strip() for line in table.splitlines() if line.startswith("| ")}
    assert {name.partition(":")[0] for name, *_ in ROWS} <= rows, rows
    for page in ("values.md", "pysandbox.md"):
        assert "what may run where" in (pages / page).read_text()
