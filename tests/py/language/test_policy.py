"""What pysandbox's README and ChangeLog promised, as tests in our words: each refusal beside the nearest thing that is
allowed. One program is one process."""

from __future__ import annotations

import pathlib
from collections.abc import Callable

import pytest
from conftest import Outcome, SandboxConfig

Run = Callable[..., Outcome]


def refused(outcome: Outcome, error: str, message: str) -> None:
    assert (outcome.error, outcome.message) == (error, message), outcome.text


def passes(outcome: Outcome) -> None:
    assert outcome.error is None, outcome.text


# ---- The namespace -----------------------------------------------------------------------------------------------


def test_the_namespace_is_new_and_empty(run: Run) -> None:
    passes(run("", "assert globals() is locals() and list(globals()) == ['__builtins__']"))


def test_builtins_are_not_a_dict(run: Run) -> None:
    passes(run("", "assert type(__builtins__) is not dict and not isinstance(__builtins__, dict)"))


def test_builtins_can_be_read_by_item_and_attribute(run: Run) -> None:
    passes(run("", "assert __builtins__['len'] is __builtins__.len is len and 'len' in __builtins__ and len(__builtins__) > 50"))


@pytest.mark.parametrize(
    "change",
    [
        "__builtins__['x'] = 1",
        "del __builtins__['len']",
        "__builtins__.x = 1",
        "del __builtins__.len",
        "__builtins__.__init__({})",
        "__builtins__.update({})",
        "__builtins__.clear()",
        "__builtins__.pop('len')",
        "__builtins__.setdefault('x', 1)",
    ],
)
def test_builtins_are_read_only(run: Run, change: str) -> None:
    refused(run("", change), "SandboxError", "Read only object")


def test_dicts_of_the_program_have_all_their_methods(run: Run) -> None:
    passes(
        run(
            "",
            "d = {}\nd.update(a=1)\nd.setdefault('b', 2)\nd |= {'c': 3}\ndict.__setitem__(d, 'e', 5)\nassert d.pop('a') == 1\nd.clear()",
        )
    )


def test_a_program_may_shadow_a_builtin_for_itself(run: Run) -> None:
    passes(run("", "len = lambda x: 42\nassert len('') == 42\ndel len\nassert len('') == 0"))


@pytest.mark.parametrize(
    "name", ["breakpoint", "input", "help", "quit", "BaseException", "KeyboardInterrupt", "SystemExit", "__loader__", "__spec__"]
)
def test_builtins_outside_the_whitelist_are_unknown(run: Run, name: str) -> None:
    refused(run("", name), "NameError", f"name '{name}' is not defined")


@pytest.mark.parametrize("name", ["len", "ExceptionGroup", "memoryview", "aiter", "PermissionError", "super", "Ellipsis", "ascii"])
def test_builtins_in_the_whitelist_are_known(run: Run, name: str) -> None:
    passes(run("", name))


def test_a_builtin_can_be_taken_away(run: Run) -> None:
    config = SandboxConfig()
    config.builtins_whitelist = config.builtins_whitelist - {"eval"}
    refused(run(config, "eval"), "NameError", "name 'eval' is not defined")


# ---- exec, eval, code --------------------------------------------------------------------------------------------


def test_exec_and_eval_take_text(run: Run) -> None:
    passes(
        run(
            "",
            "exec('x = 1')\nassert eval('x + y', {'y': 2, 'x': 1}) == 3\ndef f():\n    z = 3\n    return eval('z')\nassert f() == 3",
        )
    )


def test_exec_in_a_new_namespace_has_the_same_builtins(run: Run) -> None:
    refused(run("", "exec('import os', {})"), "ImportError", 'Import "os" blocked by the sandbox')


def test_compile_makes_code_that_shows_nothing(run: Run) -> None:
    config = SandboxConfig()
    passes(run(config, "code = compile('1 + 1', 'x', 'eval')\nassert eval(code) == 2"))
    refused(run(config, "type(compile('1', 'x', 'eval'))()"), "TypeError", "cannot create 'code' instances")
    refused(run(config, "compile('1', 'x', 'eval').co_code"), "AttributeError", "'code' object has no attribute 'co_code'")
    passes(run(config, "assert eval(compile(b'1', 'x', 'eval')) == 1"))
    assert run(config, "compile(bytearray(b'1'), 'x', 'eval')").error == "TypeError"


def test_bytes_as_source_are_utf_8_whatever_they_say(run: Run) -> None:
    passes(run("", "exec('x = \"é\"'.encode())\nassert x == 'é' and eval(b'1 + 1') == 2"))
    passes(run("", "exec(b'# coding: utf-7\\nx = \"+AGE-\"')\nassert x == '+AGE-'"))
    assert run("", "exec(b'x = \"\\xff\"')").error == "UnicodeDecodeError"


@pytest.mark.parametrize("name", ["__closure__", "__globals__", "__code__", "__defaults__", "__kwdefaults__", "__builtins__"])
def test_functions_hide_their_insides(run: Run, name: str) -> None:
    refused(run("", f"def f(x=1): pass\nf.{name}"), "AttributeError", f"'function' object has no attribute '{name}'")


def test_functions_show_their_outside(run: Run) -> None:
    passes(
        run(
            "",
            "def f(x: int = 1): 'doc'\nf.note = 1\nassert (f.__name__, f.__doc__, f.note, f()) == ('f', 'doc', 1, None) and f.__annotations__ == {'x': int}",
        )
    )


@pytest.mark.parametrize("name", ["__subclasses__", "__bases__", "__base__", "__mro__", "__dict__", "mro"])
def test_types_hide_their_graph(run: Run, name: str) -> None:
    refused(run("", f"class A: pass\nA.{name}"), "AttributeError", f"type object 'A' has no attribute '{name}'")


def test_types_can_be_told_apart(run: Run) -> None:
    passes(
        run(
            "",
            "class A: pass\nclass B(A): pass\nassert issubclass(B, A) and isinstance(B(), A) and B.__name__ == 'B' and type(B()) is B",
        )
    )


def test_instances_have_a_dict(run: Run) -> None:
    passes(
        run(
            "",
            "class A: pass\na = A()\na.x = 1\na.__dict__['y'] = 2\nassert vars(a) == {'x': 1, 'y': 2} and a.y == 2 and 'x' in dir(a)",
        )
    )


# ---- Importing ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "statement", ["import os", "from os import path", "import os.path", "import os as o", "from os import *", "__import__('os')"]
)
def test_imports_are_blocked(run: Run, statement: str) -> None:
    outcome = run("", statement)
    assert (
        outcome.error == "ImportError"
        and outcome.message.startswith('Import "os')
        and outcome.message.endswith('" blocked by the sandbox')
    )


def test_an_allowed_module_shows_its_symbols_only(run: Run) -> None:
    config = SandboxConfig()
    config.allow_module("sys", "version")
    passes(run(config, "import sys\nassert sys.__name__ == 'sys' and sys.version[0] == '3' and dir(sys) == ['version']"))
    refused(run(config, "import sys\nsys.path"), "AttributeError", "SafeModule 'sys' has no attribute 'path'")
    assert run(config, "from sys import path").error == "ImportError"


def test_a_module_is_read_only(run: Run) -> None:
    config = SandboxConfig()
    config.allow_module("sys", "version")
    refused(run(config, "import sys\nsys.version = '3000'"), "SandboxError", "Read only object")
    refused(run(config, "import sys\ndel sys.version"), "SandboxError", "Read only object")


def test_all_forms_of_import(run: Run) -> None:
    config = SandboxConfig("math")
    config.allow_safe_module("collections", "Counter")
    config.allow_safe_module("collections.abc", "Sized")
    passes(run(config, """
import math as m, collections.abc
from math import sqrt as root, pi
from collections import abc
from collections.abc import Sized as S
import collections.abc as again
assert m.sqrt(4) == root(4) == 2 and pi > 3
assert collections.abc is abc is again and abc.Sized is S and collections.Counter('aa')['a'] == 2
namespace = {}
exec('from math import *', namespace)
assert namespace['floor'](2.5) == 2
namespace = {'__package__': 'collections', '__name__': 'collections.x'}
exec('from .abc import Sized as T', namespace)
assert namespace['T'] is S
"""))  # fmt: skip


def test_a_parent_of_an_allowed_module_is_not_allowed(run: Run) -> None:
    config = SandboxConfig()
    config.allow_safe_module("collections.abc", "Sized")
    refused(run(config, "import collections"), "ImportError", 'Import "collections" blocked by the sandbox')
    passes(run(config, "from collections import abc\nimport collections.abc\nassert not hasattr(collections, 'Counter')"))


def test_a_module_that_cannot_be_imported_is_said_at_the_start(run: Run, python: str) -> None:
    config = SandboxConfig()
    config.allow_module("no_such_module")
    with pytest.raises(AssertionError, match="No module named 'no_such_module'"):
        run(config, "pass")


def test_allow_module_proxies_and_allow_safe_module_does_not(run: Run) -> None:
    config = SandboxConfig()
    config.allow_module("string", "ascii_letters")
    config.allow_module("sys", "version_info", "modules", "path")
    config.allow_safe_module("platform", "python_version_tuple")
    passes(
        run(
            config,
            "import string, sys, platform\nassert sys.version_info[0] == 3 and type(sys.path) is not list and list(sys.path) == sys.path\nassert type(platform.python_version_tuple()) is tuple",
        )
    )
    outcome = run(config, "from sys import modules\nmodules['sys']")
    refused(outcome, "SandboxError", "Unable to proxy a value of type <class 'module'>")


def test_internal_imports_of_the_library_go_on(run: Run) -> None:
    passes(run("datetime time", "import datetime, time\ndatetime.datetime.strptime('1', '%d')\ntime.strptime('1', '%d')"))


def test_library_code_works_on_types_that_hide_from_the_program(run: Run) -> None:
    config = SandboxConfig("stdout")
    config.allow_safe_module("abc", "ABC", "abstractmethod")
    config.allow_safe_module("enum", "Enum", "Flag", "auto", "unique")
    config.allow_safe_module("collections", "Counter", "namedtuple", "OrderedDict", "defaultdict", "deque")
    config.allow_safe_module("collections.abc", "Sequence", "Iterable", "Mapping")
    config.allow_safe_module("statistics", "mean", "stdev")
    config.allow_safe_module("json", "loads", "dumps")
    config.allow_safe_module("decimal", "Decimal")
    config.allow_safe_module("fractions", "Fraction")
    config.allow_safe_module("string", "Template")
    config.allow_safe_module("textwrap", "dedent", "fill")
    config.allow_safe_module("heapq", "heappush", "heappop")
    config.allow_safe_module("bisect", "insort")
    config.allow_safe_module("functools", "lru_cache", "wraps", "total_ordering")
    config.allow_safe_module("contextlib", "contextmanager", "suppress")
    passes(run(config, """
from abc import ABC, abstractmethod
from collections import Counter, namedtuple, OrderedDict, defaultdict, deque
from collections.abc import Iterable, Mapping, Sequence
from contextlib import contextmanager, suppress
from decimal import Decimal
from enum import Enum, Flag, auto, unique
from fractions import Fraction
from functools import lru_cache, total_ordering, wraps
import bisect, heapq, json, statistics, string, textwrap

class Shape(ABC):
    @abstractmethod
    def area(self): ...
class Square(Shape):
    def __init__(self, side): self.side = side
    def area(self): return self.side ** 2
assert isinstance(Square(2), Shape) and Square(2).area() == 4 and not isinstance(3, Shape)
try:
    Shape()
except TypeError as error:
    assert 'abstract' in str(error)
else:
    assert False
class Numbers(Sequence):
    def __len__(self): return 3
    def __getitem__(self, i):
        if i >= 3: raise IndexError
        return i * i
assert list(Numbers()) == [0, 1, 4] and 4 in Numbers() and isinstance([], Sequence) and isinstance({}, Mapping)
@unique
class Colour(Enum):
    RED = 1
    GREEN = auto()
    def describe(self): return self.name.lower()
class Access(Flag):
    READ = auto()
    WRITE = auto()
assert Colour(1) is Colour.RED and Colour['GREEN'].describe() == 'green' and list(Colour) and Access.READ | Access.WRITE == Access(3)
assert repr(Colour.RED) == '<Colour.RED: 1>' and Colour.RED in {Colour.RED: 1}
assert Counter('abca').most_common(1) == [('a', 2)] and defaultdict(list)['x'] == [] and deque([1], 3).maxlen == 3
P = namedtuple('P', 'x y')
assert P(1, 2).x == 1 and P(1, 2)._replace(x=3) == (3, 2) and OrderedDict(a=1)['a'] == 1
assert json.loads(json.dumps({'a': [1, None, 2.5, 'ü']}))['a'][3] == 'ü' and Decimal('0.1') + Decimal('0.2') == Decimal('0.3')
assert Fraction(1, 3) + Fraction(1, 6) == Fraction(1, 2) and statistics.mean([1, 2, 3]) == 2 and statistics.stdev([1, 3]) > 1.4
assert string.Template('$a').substitute(a=1) == '1' and textwrap.dedent('  x') == 'x' and len(textwrap.fill('a b ' * 9, 10).split()) == 18
heap = []
heapq.heappush(heap, 2); heapq.heappush(heap, 1)
assert heapq.heappop(heap) == 1
bisect.insort(heap, 1)
@lru_cache(None)
def fib(n): return n if n < 2 else fib(n - 1) + fib(n - 2)
assert fib(12) == 144 and fib.cache_info().hits > 0
def logged(f):
    @wraps(f)
    def inner(*a): return f(*a)
    return inner
assert logged(fib).__name__ == 'fib'
@total_ordering
class V:
    def __init__(self, n): self.n = n
    def __lt__(self, o): return self.n < o.n
    def __eq__(self, o): return self.n == o.n
assert V(1) <= V(2) and V(3) > V(2)
with suppress(KeyError):
    {}['x']
@contextmanager
def managed(log):
    log.append(1)
    try:
        yield log
    except KeyError:
        log.append('key')
    finally:
        log.append(2)
with managed([]) as log:
    {}['x']
assert log == [1, 'key', 2]
try:
    with managed([]):
        raise StopIteration
except StopIteration:
    pass
"""))  # fmt: skip
    refused(
        run(config, "from collections.abc import Sequence\nSequence.__subclasses__()"),
        "AttributeError",
        "type object 'Sequence' has no attribute '__subclasses__'",
    )


def test_the_interpreter_goes_on_working(run: Run) -> None:
    passes(run(SandboxConfig(recursion_limit=200), """
class Meta(type):
    def mro(cls): return super().mro()
    def __instancecheck__(cls, x): return True
class A(metaclass=Meta):
    __slots__ = ('x', '__dict__')
assert isinstance(1, A)
assert (10 ** 9000) // (10 ** 4001) == 10 ** 4999 and str(10 ** 4000).endswith('000')
assert '\\N{SNOWMAN}' and eval(r"'\\N{SNOWMAN}'") == '☃'
assert memoryview(b'abcd').cast('h').tolist() and '{:>5}|{!r:^7}|{a[0]}|{b.real}'.format(1, 'x', a=[1], b=2)
try:
    try: {}['x']
    finally: y = 1
except KeyError as error:
    z = error
assert z.args == ('x',) and not hasattr(z, '__traceback__')
def gen():
    try:
        while True: yield
    except GeneratorExit: pass
g = gen(); next(g); g.close()
import_error = None
try:
    raise StopIteration(1)
except StopIteration as e:
    assert e.value == 1
assert sorted(dir(A()))[0] == '__class__' and '__len__' in dir(list) and dir()
assert [*map(str, range(3))] == ['0', '1', '2'] and {1, 2} - {2} == {1} and property(lambda s: 1).fget(0) == 1
assert str(type(1)) == "<class 'int'>" and repr(A).startswith("<class '__main__.A'") and object().__class__ is object
"""))  # fmt: skip


def test_generic_classes(run: Run) -> None:
    outcome = run(
        "",
        "class Box[T]:\n    def get(self) -> T: ...\ndef first[T](x: list[T]) -> T: return x[0]\ntype Pair = tuple[int, int]\nassert first([1]) == 1 and Box[int]",
    )
    assert outcome.error in (None, "SyntaxError"), outcome.text  # the syntax is 3.12's


# ---- Files -------------------------------------------------------------------------------------------------------


def test_files_are_denied(run: Run) -> None:
    outcome = run("", "open('/etc/passwd')")
    assert outcome.error == "PermissionError" and "Sandbox deny access to the file '/etc/passwd'" in outcome.message


def test_an_allowed_file_can_be_read(run: Run, folder: pathlib.Path) -> None:
    path = folder / "text"
    path.write_text("one\ntwo\n")
    config = SandboxConfig()
    config.allow_path(path)
    passes(run(config, f"""
with open({str(path)!r}) as file:
    assert file.readline() == 'one\\n' and list(file) == ['two\\n'] and file.name == {str(path.resolve())!r}
assert file.closed
assert open({str(path)!r}, 'rb').read(3) == b'one'
"""))  # fmt: skip


@pytest.mark.parametrize("name", ["buffer", "detach", "fileno", "reconfigure", "_checkClosed", "truncate"])
def test_an_open_file_shows_no_way_to_its_descriptor(run: Run, folder: pathlib.Path, name: str) -> None:
    path = folder / "text"
    path.write_text("x")
    config = SandboxConfig()
    config.allow_path(path)
    assert run(config, f"open({str(path)!r}).{name}").error == "AttributeError"
    assert run(config, f"type(open({str(path)!r}))('/etc/passwd')").error == "TypeError"


@pytest.mark.parametrize("mode", ["w", "a", "r+", "x", "wb", "rb+", ""])
def test_only_read_modes(run: Run, mode: str) -> None:
    refused(run("", f"open('/tmp/x', {mode!r})"), "ValueError", "Only read modes are allowed.")


def test_an_allowed_directory_ends_at_its_slash(run: Run, folder: pathlib.Path) -> None:
    (folder / "in").mkdir()
    (folder / "in" / "file").write_text("x")
    (folder / "in.not").write_text("x")
    (folder / "in" / "link").symlink_to(folder / "in.not")
    config = SandboxConfig()
    config.allow_path(f"{folder}/in/")
    passes(run(config, f"open({str(folder / 'in' / 'file')!r})"))
    single = SandboxConfig()
    single.allow_path(folder / "in.n")
    assert run(single, f"open({str(folder / 'in.not')!r})").error == "PermissionError"
    for other in (folder / "in.not", folder / "in" / "link", folder / "in" / ".." / "in.not"):
        assert run(config, f"open({str(other)!r})").error == "PermissionError"


# ---- Streams, exit -----------------------------------------------------------------------------------------------


def test_print_needs_stdout(run: Run) -> None:
    refused(run("", "print('x')"), "SandboxError", "Block access to sys.stdout.write")
    assert run("stdout", "print('x')").stdout == "x\n"


def test_the_streams_are_proxies(run: Run) -> None:
    outcome = run("stdout stderr", "import sys\nsys.stdout.write('out')\nsys.stdout.flush()\nprint('error', file=sys.stderr)")
    assert (outcome.error, outcome.stdout, outcome.stderr) == (None, "out", "error\n")
    assert run("stdout", "import sys\nsys.stderr").error == "AttributeError"
    refused(run("stdout", "import sys\nsys.stdout = None"), "SandboxError", "Read only object")


def test_input_needs_stdin(run: Run) -> None:
    passes(run("stdin stdout", "assert input() == 'line' and __import__('sys').stdin.read() == 'more'", stdin="line\nmore"))


def test_exit_is_blocked(run: Run) -> None:
    refused(run("", "exit()"), "SandboxError", "exit() function blocked by the sandbox")


def test_the_exit_feature_allows_it(run: Run) -> None:
    refused(run("exit", "exit(1)"), "SystemExit", "1")
    outcome = run("exit", "import sys\nsys.exit('bye')")
    assert (outcome.error, outcome.message) in (("SystemExit", "bye"), ("SystemExit", "1"))  # a process has a number
    passes(
        run(
            "exit", "try:\n    quit()\nexcept SystemExit as error:\n    assert error.code is None\nBaseException, KeyboardInterrupt"
        )
    )


# ---- Limits ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("limit", [50, 200])
def test_the_recursion_limit_counts_the_programs_frames(run: Run, limit: int) -> None:
    program = "def f(n):\n    return n and 1 + f(n - 1)\nassert f(LIMIT - 10) == LIMIT - 10\nf(LIMIT + 10)"
    outcome = run(SandboxConfig(recursion_limit=limit), program.replace("LIMIT", str(limit)))
    assert outcome.error == "RecursionError" and "f(LIMIT + 10)".replace("LIMIT", str(limit)) in outcome.text


# ---- Features ----------------------------------------------------------------------------------------------------

SAMPLES = {
    "codecs": "import codecs\nassert codecs.lookup('utf-8').name == 'utf-8' and codecs.latin_1_encode('é')[0] == b'\\xe9'",
    "datetime": "from datetime import *\nassert (datetime(2024, 3, 1) - timedelta(1)).day == 29 and timezone.utc and date.today() and MAXYEAR",
    "encodings": "assert 'é'.encode('cp1252') == b'\\xe9' and 'x'.encode('rot_13') if False else 'ж'.encode('koi8-r')\nimport encodings.aliases\nassert encodings.aliases.aliases['latin1']",
    "exit": "SystemExit",
    "future": "from __future__ import annotations, division\nimport __future__\nassert 'division' in __future__.all_feature_names",
    "hashlib": "import hashlib\nassert hashlib.md5(b'').hexdigest().startswith('d41d') and hashlib.new('sha256').digest_size == 32 and hashlib.sha3_256()",
    "help": "help",
    "itertools": "import itertools\nassert list(itertools.chain('ab', 'c')) == ['a', 'b', 'c'] and itertools.pairwise",
    "math": "import math\nassert math.sqrt(4) == 2 and math.gcd(4, 6) == 2 and math.isclose(math.tau, 2 * math.pi)",
    "random": "import random\nassert 1 <= random.randint(1, 6) <= 6\nx = [1, 2, 3]\nrandom.shuffle(x)\nassert sorted(random.sample(x, 2)) and random.Random(1).random() == random.Random(1).random()",
    "regex": "import re\nassert re.escape('+') == '\\\\+' and re.match('a+', 'aaa')[0] == 'aaa' and re.findall('.', 'ab') == ['a', 'b'] and re.split(' +', 'a  b') == ['a', 'b'] and re.sub('a', 'b', 'aa', flags=re.I | re.M) == 'bb'\ntry:\n    re.compile('(')\nexcept re.error as error:\n    pass",
    "site": "copyright, credits, license",
    "stderr": "import sys\nsys.stderr.write('')",
    "stdin": "input",
    "stdout": "print()",
    "time": "import time\nassert time.time() > 1e9 and time.gmtime(0).tm_year == 1970 and time.monotonic() > 0 and time.strftime('%Y', time.localtime())",
    "traceback": "import traceback\ntry:\n    1 / 0\nexcept Exception as error:\n    text = traceback.format_exc()\n    assert text.endswith('ZeroDivisionError: division by zero\\n') and '    1 / 0' in text and error.__traceback__.tb_lineno > 0",
    "unicodedata": "import unicodedata\nassert unicodedata.name('é') == 'LATIN SMALL LETTER E WITH ACUTE' and unicodedata.lookup('DIGIT ONE') == '1'",
}


@pytest.mark.parametrize("feature", SAMPLES)
def test_a_feature_gives_what_it_says(run: Run, feature: str) -> None:
    passes(run(feature, SAMPLES[feature]))


@pytest.mark.parametrize("feature", sorted(set(SAMPLES) - {"site", "future", "encodings"}))
def test_without_the_feature_it_is_not_there(run: Run, feature: str) -> None:
    assert run("", SAMPLES[feature]).error in ("ImportError", "NameError", "SandboxError", "AttributeError")


def test_help_prints_documentation(run: Run) -> None:
    assert "Return the number of items" in run("help stdout", "help(len)").stdout


def test_all_features_together(run: Run) -> None:
    passes(run(" ".join(SAMPLES), "\n".join(code for name, code in SAMPLES.items() if name not in ("future", "stdout"))))


# ---- Restricted --------------------------------------------------------------------------------------------------


def test_restricted_opens_no_file(run: Run) -> None:
    config = SandboxConfig("stdout", restricted=True)
    refused(run(config, "open"), "NameError", "name 'open' is not defined")
    passes(run(config, "print(1)"))


def test_restricted_closes_functions_for_changes_from_outside(run: Run) -> None:
    config = SandboxConfig(restricted=True)
    assert run(config, "def f(): pass\nf.__dict__").error == "AttributeError"
    assert run(config, "class A: pass\nA().__dict__['x'] = 1").error in ("AttributeError", "SandboxError", "TypeError")
    assert run(config, "class A: pass\nA.x = 1").error in ("AttributeError", "SandboxError", "TypeError")
    assert run(config, "class M(type): pass\nclass A(metaclass=M): pass\nA.x = 1").error == "TypeError"
    assert run(config, "class A: pass\ntype.__setattr__(A, 'x', 1)").error == "TypeError"
    passes(run(config, "class A:\n    def __init__(self):\n        self.x = 1\nassert A().x == 1"))


# ---- Errors ------------------------------------------------------------------------------------------------------


def test_an_error_shows_the_programs_lines_and_nobody_elses(run: Run) -> None:
    outcome = run("regex", "import re\ndef f():\n    re.compile('(')\nf()")
    assert outcome.text.startswith('Traceback (most recent call last):\n  File "<sandbox>", line 4, in <module>\n    f()\n')
    assert "    re.compile('(')\n" in outcome.text and "belljar_language" not in outcome.text


def test_a_hostile_exception_cannot_break_the_report(run: Run) -> None:
    outcome = run("", "class E(Exception):\n    def __str__(self): raise E\nraise E")
    assert outcome.text.endswith("E: <exception str() failed>\n")
    outcome = run("", "raise ValueError('x' * 10**7)")
    assert len(outcome.text) <= 64 << 10
