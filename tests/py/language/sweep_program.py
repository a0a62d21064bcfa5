# Run by test_sweep.py under the policy, with MODULES and SKIP before it: every callable that is handed out gets arguments whose
# special methods and callbacks are, in C code, each of the builtins that act on the calling frame. Prints what was seen, and counts.
from collections import defaultdict
from functools import partial
from itertools import islice

MARK = 1
TEXT = "__import__('os')"
ACTS = "__import__('os').write(1, b'reached by exec\\n')"
SIX = {"eval": eval, "exec": exec, "globals": globals, "locals": locals, "vars": vars, "dir": dir, "super": super}
TIMES = 4  # then StopIteration: nothing goes on for ever
seen, kept = [], []
calls = captured = refused = 0

UNARY = {
    "__len__": 1, "__iter__": None, "__next__": 1, "__str__": "x", "__repr__": "x", "__hash__": 1, "__bool__": True, "__index__": 1,
    "__int__": 1, "__float__": 1.0, "__complex__": 1j, "__neg__": 1, "__abs__": 1, "__enter__": 1, "__reversed__": None, "__aiter__": 1,
    "__bytes__": b"x", "__trunc__": 1, "__floor__": 1, "__ceil__": 1, "__round__": 1, "__length_hint__": 1, "__copy__": 1, "__dir__": ["x"],
    "__fspath__": "x", "__await__": None, "__html__": 1, "keys": ["x"], "items": [("x", 1)], "close": 1, "flush": 1, "read": "1",
    "readline": "", "as_integer_ratio": (1, 2), "upper": "x", "lower": "x", "split": ["x"], "strip": "x", "splitlines": ["x"],
    "numerator": 1, "denominator": 1, "is_nan": False, "is_infinite": False, "toordinal": 1, "groups": (), "group": "x", "total_seconds": 1.0,
    "dst": None, "utcoffset": None, "tzname": "x", "__get_annotations__": 1, "getrandbits": 1, "random": 0.5,
}  # fmt: skip
BINARY = {
    **dict.fromkeys("__eq__ __ne__ __lt__ __le__ __gt__ __ge__ __contains__".split(), True),
    **dict.fromkeys("__add__ __radd__ __sub__ __rsub__ __mul__ __rmul__ __truediv__ __rtruediv__ __floordiv__ __mod__ __rmod__ __pow__ "
                    "__rpow__ __and__ __or__ __xor__ __lshift__ __divmod__ __iadd__ __getitem__ __missing__ __deepcopy__".split(), 1),
    "__getattr__": "x", "__format__": "x", "__subclasscheck__": True, "__instancecheck__": True, "__mro_entries__": (), "__class_getitem__": 1,
    "write": 1, "decode": "x", "encode": b"x", "expandtabs": "x", "translate": "x", "get": 1, "index": 1, "fromutc": None,
}  # fmt: skip
MORE = "__call__ __exit__ __setitem__ __delitem__ __get__ __set_name__ __init_subclass__ __missing__ replace raw_decode default".split()
BASES = object, str, int, float, list, dict, tuple, Exception
FEW = "object, unary", "str, all", "iterator", "callback", "the builtin"  # for all of SIX but two, and methods but one


def made(call, returned):
    """An iterator in C that calls call() or call(text), keeps what comes, and gives `returned`."""
    given = [TEXT] if call is eval else [ACTS] if call is exec else None
    results = map(call, given * TIMES) if given else islice(iter(call, None), TIMES)
    return map((returned,).__getitem__, map(bool, map(kept.append, results)))


def any_arguments(call):
    return partial(print, file=type("F", (), {"write": defaultdict(made(call, 1).__next__).__getitem__})())


def arguments(call, wanted):
    """(what it is, a new argument); of the wanted ones, or of all."""
    MARK = 1
    names = {name: made(call, iter(()) if value is None else value).__next__ for name, value in UNARY.items()}
    names |= {name: defaultdict(made(call, value).__next__).__getitem__ for name, value in BINARY.items()}
    more = {name: any_arguments(call) for name in MORE}
    for base in BASES:
        for part, own in (
            ("unary", names),
            ("all", names | more),
            ("callbacks", more),
            ("order", {n: names[n] for n in ("__eq__", "__hash__", "__lt__")}),
        ):
            kind = f"{base.__name__}, {part}"
            if wanted and kind not in wanted:
                continue
            try:
                yield kind, type("X", (base,), own)(*(("1",) if base is str else ()))
            except Exception:
                pass
    yield "iterator", made(call, 1)
    yield "iterator of texts", made(call, "x")
    yield "callback", any_arguments(call)
    yield "the builtin", call
    if wanted:
        return
    yield "a text", type("T", (str,), {"__eq__": call, "__hash__": lambda self: 1})(TEXT)
    yield "class", type(
        "C", (), {name: staticmethod(call) for name in ("decode", "encode", "__init__", "iterencode", "write", "close")}
    )


def check(what, kind, name):
    """Notes what is not the program's."""
    global captured
    MARK = 1
    for one in kept:
        captured += 1
        if "MARK" not in one if type(one) in (dict, list) else one is not None and type(one).__name__ in ("module", "super"):
            note = what, kind, name, type(one).__name__
            if note not in seen:
                seen.append(note)
    kept.clear()


def use(thing, argument):
    """What a program does with what it got."""
    MARK = 1
    yield lambda MARK=1: [str(thing), repr(thing)]
    yield lambda MARK=1: list(islice(iter(thing), 5))
    if callable(thing):
        yield lambda MARK=1: thing()
        yield lambda MARK=1: thing(argument)
    if hasattr(type(thing), "__exit__"):
        yield lambda MARK=1: [thing.__enter__(), thing.__exit__(None, None, None)]


def attempt(call, *given, **named):
    global calls, refused
    MARK = 1
    calls += 1
    try:
        return call(*given, **named)
    except BaseException as error:
        if type(error).__name__ == "SandboxError":
            refused += 1


PATTERNS = (
    lambda x, MARK=1: ((x,), {}),
    lambda x, MARK=1: ((x, x), {}),
    lambda x, MARK=1: (("1", x), {}),
    lambda x, MARK=1: ((x, "1"), {}),
    lambda x, MARK=1: ((1, x), {}),
    lambda x, MARK=1: (([x, x],), {}),
    lambda x, MARK=1: (("(1)", x, "1"), {}),
)
NAMED = "key cls default weights object_hook parse_float object_pairs_hook file mapping initial func fillvalue".split()


def everything():
    """(name, callable): the builtins, symbols of modules, methods of what classes make."""
    MARK = 1
    for name in dir(__builtins__):
        yield name, getattr(__builtins__, name)
    for module in MODULES:
        found = __import__(module, None, None, ("*",))
        for name in dir(found):
            yield f"{module}.{name}", getattr(found, name, None)


def methods(name, thing):
    MARK = 1
    for given in ((), ("1",), (1,), ([],), (1, 1, 1), (iter([1]),), ("x", (), {}), (print,)):
        try:
            instance = thing(*given)
            break
        except BaseException:
            pass
    else:
        return
    for member in dir(instance):
        if member not in SKIP and (not member.startswith("_") or member in BINARY or member in MORE):
            try:
                yield f"{name}().{member}", getattr(instance, member)
            except BaseException:
                pass


def sweep():
    MARK = 1
    callables = 0
    for name, thing in everything():
        if not callable(thing) or name.rpartition(".")[2] in SKIP:
            continue
        targets = [(name, thing)]
        if isinstance(thing, type) and not issubclass(thing, BaseException):
            targets += methods(name, thing)
        for target_name, target in targets:
            callables += 1
            for builtin, call in SIX.items():
                full = call is eval or call is globals and target is thing
                for kind, argument in arguments(call, () if full else FEW):
                    for number, pattern in enumerate(PATTERNS if target is thing else PATTERNS[:2]):
                        given, named = pattern(argument)
                        result = attempt(target, *given, **named)
                        if number == 0 and result is not None and type(result) not in (str, int, bool, float):
                            for way in use(result, argument):
                                attempt(way)
                        check(target_name, kind, builtin)
                    if kind in ("callback", "the builtin", "class"):
                        for keyword in NAMED:
                            attempt(target, "[1.5]" if "json" in name else ["1", "2"], **{keyword: argument})
                        check(target_name, kind, builtin)
    return callables


callables = sweep()
for note in seen[:100]:
    print("seen", note)
print("counts", (callables, calls, captured, refused, len(seen)))
