"""What the deny-by-default policy allows: one table, each row with its reason.

The names of the features are pysandbox 1.6's. Their symbols are brought up to date with Python 3: what Python 2 had
is gone, what Python 3 added is decided. A symbol that a version of Python lacks is left out there.

`proxied` symbols are given as read-only views and their results are proxied as well (pysandbox's allowModule);
`safe` ones are given as they are (allowSafeModule): classes that programs subclass or test with isinstance, and
functions whose results are the program's own.
"""

from typing import NamedTuple

from belljar._shared.everyday import EVERYDAY


class Module(NamedTuple):
    name: str
    proxied: str
    safe: str
    reason: str


class Feature(NamedTuple):
    name: str
    reason: str
    enables: tuple[str, ...] = ()
    modules: tuple[Module, ...] = ()
    builtins: str = ""
    internal: str = ""  # imported by the library itself when it runs: importable, and empty
    encodings: str = ""
    streams: str = ""
    recursion: int = 0  # the recursion limit becomes this, if the caller gave none


class Builtin(NamedTuple):
    names: str
    allowed: bool | str  # True, False, or the feature that allows them
    reason: str


BUILTINS = (
    # exceptions
    Builtin(
        "ArithmeticError AssertionError AttributeError BufferError BytesWarning DeprecationWarning EOFError "
        "EnvironmentError Exception FloatingPointError FutureWarning GeneratorExit IOError ImportError ImportWarning "
        "IndentationError IndexError KeyError LookupError MemoryError NameError NotImplemented NotImplementedError "
        "OSError OverflowError PendingDeprecationWarning ReferenceError RuntimeError RuntimeWarning StopIteration "
        "SyntaxError SyntaxWarning SystemError TabError TypeError UnboundLocalError UnicodeDecodeError "
        "UnicodeEncodeError UnicodeError UnicodeTranslateError UnicodeWarning UserWarning ValueError Warning "
        "ZeroDivisionError",
        True,
        "pysandbox allowed them: exceptions that a program catches",
    ),
    Builtin(
        "ModuleNotFoundError RecursionError ResourceWarning EncodingWarning StopAsyncIteration ExceptionGroup "
        "PythonFinalizationError",
        True,
        "new in Python 3, similar to the above",
    ),
    Builtin(
        "BlockingIOError BrokenPipeError ChildProcessError ConnectionAbortedError ConnectionError "
        "ConnectionRefusedError ConnectionResetError FileExistsError FileNotFoundError InterruptedError "
        "IsADirectoryError NotADirectoryError PermissionError ProcessLookupError TimeoutError",
        True,
        "OSError's subclasses of Python 3: open() raises some",
    ),
    Builtin(
        "BaseException BaseExceptionGroup KeyboardInterrupt SystemExit",
        "exit",
        "catching them swallows an interrupt or an exit; `except:` does too, so this is manners, not a wall",
    ),
    Builtin("_IncompleteInputError", False, "private to the interactive shell (3.13)"),
    # constants
    Builtin("False None True", True, "keywords of Python 3"),
    Builtin("Ellipsis", True, "pysandbox blocked it; in Python 3 the literal ... is the same object"),
    Builtin("__debug__", True, "a constant of the compiler in Python 3: reading it cannot be blocked"),
    Builtin("__doc__ __name__ __package__", True, "names that every namespace has; they are the program's own"),
    Builtin("__loader__ __spec__", False, "lead to the import system: read any file, load any module (L054, L055)"),
    Builtin("copyright credits license", True, "print a text; not the objects of site, which read files (L078)"),
    # types
    Builtin(
        "bytearray bytes complex dict float frozenset int list object set str tuple bool enumerate filter map "
        "property range reversed slice staticmethod classmethod super type zip",
        True,
        "pysandbox allowed them; type() of one argument and of three",
    ),
    Builtin("memoryview", True, "Python 3's buffer(), which pysandbox allowed; a view of the program's own bytes"),
    # functions
    Builtin(
        "abs all any ascii bin callable chr delattr dir divmod format getattr globals hasattr hash hex id isinstance "
        "issubclass iter len locals max min next oct ord pow print repr round setattr sorted sum",
        True,
        "pysandbox allowed them; what attributes may not be reached is hidden on the types, so getattr is the real one",
    ),
    Builtin("aiter anext", True, "iter and next for async code (3.10); they reach nothing that await does not"),
    Builtin("__build_class__", True, "the class statement is a call of it"),
    Builtin("__import__", True, "replaced: serves the modules that the policy allows"),
    Builtin("open", True, "replaced: reads the paths that the policy allows"),
    Builtin("exit", True, "replaced: raises SandboxError unless the exit feature is enabled"),
    Builtin("eval exec", True, "replaced: text only, in namespaces that have the policy's builtins"),
    Builtin("vars", True, "replaced: not of types and modules (L007)"),
    Builtin("compile", True, "replaced: text only; what it makes shows nothing, and runs as text does"),
    Builtin("breakpoint", False, "imports what the environment names (L079)"),
    Builtin("input", "stdin", "reads standard input"),
    Builtin("help", "help", "replaced: prints documentation, imports nothing"),
    Builtin("quit", "exit", "ends the program"),
)

_MATH = (
    "acos acosh asin asinh atan atan2 atanh ceil copysign cos cosh degrees e exp fabs factorial floor fmod frexp fsum "
    "hypot isinf isnan ldexp log log10 log1p modf pi pow radians sin sinh sqrt tan tanh trunc "
    "cbrt comb dist erf erfc exp2 expm1 fma gamma gcd inf isclose isfinite isqrt lcm lgamma log2 nan nextafter perm "
    "prod remainder sumprod tau ulp"
)

_CODECS = (
    "ascii cp037 cp273 cp437 cp500 cp720 cp737 cp775 cp850 cp852 cp855 cp856 cp857 cp858 cp860 cp861 cp862 cp863 cp864 "
    "cp865 cp866 cp869 cp874 cp1006 cp1026 cp1125 cp1140 cp1250 cp1251 cp1252 cp1253 cp1254 cp1255 cp1256 cp1257 "
    "cp1258 iso8859-1 iso8859-2 iso8859-3 iso8859-4 iso8859-5 iso8859-6 iso8859-7 iso8859-8 iso8859-9 iso8859-10 "
    "iso8859-11 iso8859-13 iso8859-14 iso8859-15 iso8859-16 koi8_r koi8_t koi8_u kz1048 mac_cyrillic mac_greek "
    "mac_iceland mac_latin2 mac_roman mac_turkish ptcp154 big5 cp932 euc_jp euc_kr gb18030 gb2312 gbk iso2022_jp "
    "shift_jis utf_7 utf_8_sig punycode rot_13 hex_codec base64_codec"
)

FEATURES = (
    Feature(
        "asyncio",
        "coroutines, tasks and timers, without a network: its event loop has no sockets, files, threads and processes",
        modules=(
            Module(
                "asyncio",
                "",
                "ALL_COMPLETED Barrier BoundedSemaphore BrokenBarrierError CancelledError Condition Event FIRST_COMPLETED "
                "FIRST_EXCEPTION Future InvalidStateError LifoQueue Lock PriorityQueue Queue QueueEmpty QueueFull QueueShutDown "
                "Runner Semaphore Task TaskGroup Timeout TimeoutError all_tasks as_completed create_task current_task ensure_future "
                "gather get_running_loop iscoroutine iscoroutinefunction isfuture run shield sleep timeout timeout_at wait wait_for",
                "not streams, servers, subprocesses and to_thread()",
            ),
        ),
    ),
    Feature(
        "codecs",
        "the functions that encode and decode; not open(), which opens files, and not register() (L086)",
        modules=(
            Module(
                "codecs",
                "",
                "lookup CodecInfo encode decode getencoder getdecoder utf_8_encode utf_8_decode utf_16_be_encode "
                "utf_16_be_decode utf_16_le_encode utf_16_le_decode utf_32_be_encode utf_32_be_decode "
                "utf_32_le_encode utf_32_le_decode charmap_encode charmap_decode ascii_encode ascii_decode "
                "latin_1_encode latin_1_decode Codec BufferedIncrementalDecoder IncrementalEncoder "
                "IncrementalDecoder make_identity_dict make_encoding_map BOM_UTF8 BOM_UTF16_LE BOM_UTF16_BE "
                "BOM_UTF32_LE BOM_UTF32_BE",
                "pysandbox's list without StreamReader and StreamWriter, whose __getattr__ hands out the stream behind",
            ),
        ),
    ),
    Feature(
        "datetime",
        "dates and their arithmetic; now() and today() are calls of the vDSO",
        modules=(
            Module(
                "datetime",
                "MAXYEAR MINYEAR",
                "date datetime time timedelta tzinfo timezone UTC",
                "immutable types in C; timezone and UTC are Python 3's",
            ),
        ),
        internal="_strptime time",
    ),
    Feature(
        "encodings",
        "the library's text encodings; not the compressors (zlib, bz2), which are bombs (L088)",
        enables=("codecs",),
        modules=(
            Module("encodings", "", "", "the parent of the following"),
            Module("encodings.aliases", "aliases", "", "which names mean which encoding"),
            Module("encodings.ascii", "getregentry", "", "pysandbox allowed it"),
            Module("encodings.latin_1", "getregentry", "", "pysandbox allowed it"),
            Module("encodings.utf_8", "getregentry", "", "pysandbox allowed it"),
            Module("encodings.utf_16_be", "getregentry", "", "pysandbox allowed it"),
            Module("encodings.utf_32_be", "getregentry", "", "pysandbox allowed it"),
            Module("encodings.rot_13", "getregentry", "", "pysandbox allowed it"),
        ),
        encodings=_CODECS,
    ),
    Feature(
        "everyday",
        "what ordinary programs import; no files, no network, no introspection",
        enables=("datetime", "future", "hashlib", "itertools", "stderr", "stdout", "time"),
        modules=tuple(Module(name, "", symbols, reason) for name, symbols, reason in EVERYDAY),
        recursion=1000,
    ),
    Feature(
        "exit",
        "ending the program by itself",
        modules=(Module("sys", "", "exit", "replaced: raises SystemExit"),),
    ),
    Feature(
        "future",
        "from __future__ import …",
        modules=(
            Module(
                "__future__",
                "all_feature_names absolute_import annotations barry_as_FLUFL braces division generator_stop "
                "generators nested_scopes print_function unicode_literals with_statement",
                "",
                "objects that describe a feature; the statement itself is the compiler's",
            ),
        ),
    ),
    Feature(
        "hashlib",
        "checksums",
        modules=(
            Module(
                "hashlib",
                "algorithms_available algorithms_guaranteed",
                "md5 sha1 sha224 sha256 sha384 sha512 sha3_224 sha3_256 sha3_384 sha3_512 shake_128 shake_256 blake2b "
                "blake2s new pbkdf2_hmac scrypt",
                "pysandbox's six and what Python 3 added; not file_digest(), which calls methods of an object it is given",
            ),
            Module(
                "_hashlib",
                "",
                "openssl_md5 openssl_sha1 openssl_sha224 openssl_sha256 openssl_sha384 openssl_sha512",
                "pysandbox allowed them",
            ),
        ),
        internal="_blake2 _md5 _sha1 _sha2 _sha3 _sha256 _sha512",
    ),
    Feature(
        "help",
        "help(object): prints documentation; the library's help imports and introspects too much to be let in",
        enables=("regex",),
        modules=(Module("pydoc", "", "", "its help() is replaced by the policy's own"),),
    ),
    Feature(
        "itertools",
        "iterators",
        modules=(
            Module(
                "itertools",
                "",
                "accumulate batched chain combinations combinations_with_replacement compress count cycle dropwhile "
                "filterfalse groupby islice pairwise permutations product repeat starmap takewhile tee zip_longest",
                "imap, izip and others became builtins in Python 3; the rest are types in C",
            ),
        ),
    ),
    Feature(
        "math",
        "numbers",
        modules=(
            Module(
                "math",
                "",
                _MATH,
                "functions of numbers (ceil of a program's own class gives what that returns); pysandbox's list "
                "and what Python 3 added",
            ),
        ),
    ),
    Feature(
        "random",
        "random numbers for programs; not for keys",
        enables=("math", "hashlib"),
        modules=(
            Module(
                "random",
                "",
                "betavariate binomialvariate expovariate gammavariate lognormvariate normalvariate paretovariate "
                "vonmisesvariate weibullvariate choice choices gauss getrandbits randbytes randint random randrange "
                "sample shuffle triangular uniform Random seed",
                "what choice() and sample() give is the program's own; pysandbox blocked seed(): in a process that is used once it "
                "disturbs nobody, and results repeat by it",
            ),
        ),
    ),
    Feature(
        "regex",
        "regular expressions; catastrophic ones end at the time limit (L146)",
        modules=(
            Module(
                "re",
                "escape",
                "findall split sub subn compile finditer fullmatch match search error PatternError Match Pattern "
                "RegexFlag A ASCII I IGNORECASE L LOCALE M MULTILINE NOFLAG S DOTALL U UNICODE X VERBOSE",
                "results are the program's own: pysandbox proxied findall's lists and had to say list(list)",
            ),
        ),
    ),
    Feature(
        "site",
        "the license file may be read",
    ),
    Feature(
        "stderr",
        "standard error",
        modules=(Module("sys", "stderr", "", "a proxy of the stream, without its buffer (L081)"),),
        streams="stderr",
    ),
    Feature(
        "stdin",
        "standard input",
        modules=(Module("sys", "stdin", "", "a proxy of the stream, without its buffer (L081)"),),
        streams="stdin",
    ),
    Feature(
        "stdout",
        "standard output and print()",
        modules=(Module("sys", "stdout", "", "a proxy of the stream, without its buffer (L081)"),),
        streams="stdout",
    ),
    Feature(
        "time",
        "the clocks and the calendar; sleep() is in: the time limit counts it",
        modules=(
            Module(
                "time",
                "altzone asctime ctime daylight mktime monotonic monotonic_ns perf_counter perf_counter_ns process_time "
                "process_time_ns sleep strftime time time_ns timezone tzname",
                "gmtime localtime struct_time strptime",
                "clock() is gone from Python 3; not clock_settime() and tzset()",
            ),
        ),
        internal="_strptime",
    ),
    Feature(
        "traceback",
        "where an error came from: __traceback__, tb_lineno and the functions that print it; never frames",
        modules=(
            Module("traceback", "", "", "its five printing functions are replaced: the library's read any file (L082, L084)"),
        ),
    ),
    Feature(
        "unicodedata",
        "the character database",
        modules=(
            Module(
                "unicodedata",
                "",
                "bidirectional category combining decimal decomposition digit east_asian_width is_normalized lookup "
                "mirrored name normalize numeric unidata_version",
                "pysandbox's list; is_normalized is Python 3's. \\N{…} in a program needs no feature",
            ),
        ),
    ),
)

# What the interpreter and the library import by themselves while a program runs.
INTERNAL = {
    "unicodedata": "the compiler looks up \\N{…} in it",
    "_warnings": "warnings of the compiler and of C functions",
    "warnings": "the same",
    "typing": "class C[T] imports it (3.12)",
    "_typing": "the same",
    "_pylong": "arithmetic of very long integers (3.12)",
    "struct": "a memoryview of an unusual format",
}

# What C functions of a module import when they are called, in the name of the program that calls them.
HELPERS = {
    "zoneinfo": "weakref",
    "datetime": "_strptime time",
    "time": "_strptime",
}

# Text encodings that every program has, whatever is enabled.
ENCODINGS = "utf-8 utf-16 utf-16-le utf-16-be utf-32 utf-32-le utf-32-be latin-1 ascii unicode_escape raw_unicode_escape"

BY_NAME = {feature.name: feature for feature in FEATURES}
