"""The modules of the feature `everyday`: what ordinary programs import that need no machine beneath them.

Each symbol is given as it is, so each was looked at: whether it takes a name or a text and looks something up by it, opens
something, or keeps what it was not given. The reason says what is left out. python/belljar_guest/_library.py has what a module
needs to work where introspection is hidden.
"""

from __future__ import annotations

# (module, symbols, reason)
EVERYDAY: tuple[tuple[str, str, str], ...] = (
    (
        "math",
        "acos acosh asin asinh atan atan2 atanh cbrt ceil comb copysign cos cosh degrees dist e erf erfc exp exp2 expm1 fabs "
        "factorial floor fma fmod frexp fsum gamma gcd hypot inf isclose isfinite isinf isnan isqrt lcm ldexp lgamma log log10 "
        "log1p log2 modf nan nextafter perm pi pow prod radians remainder sin sinh sqrt sumprod tan tanh tau trunc ulp",
        "functions of numbers; as they are, since ceil() of a class of the program returns an object of the program",
    ),
    (
        "cmath",
        "acos acosh asin asinh atan atanh cos cosh e exp inf infj isclose isfinite isinf isnan log log10 nan nanj phase pi polar "
        "rect sin sinh sqrt tan tanh tau",
        "functions of numbers",
    ),
    (
        "random",
        "Random SystemRandom betavariate binomialvariate choice choices expovariate gammavariate gauss getrandbits getstate "
        "lognormvariate normalvariate paretovariate randbytes randint random randrange sample seed setstate shuffle triangular "
        "uniform vonmisesvariate weibullvariate",
        "as they are: choice() returns an object of the program",
    ),
    (
        "re",
        "A ASCII DOTALL I IGNORECASE L LOCALE M MULTILINE Match NOFLAG Pattern PatternError RegexFlag S U UNICODE VERBOSE X "
        "compile error escape findall finditer fullmatch match purge search split sub subn",
        "the feature regex, and purge()",
    ),
    (
        "string",
        "Template ascii_letters ascii_lowercase ascii_uppercase capwords digits hexdigits octdigits printable punctuation whitespace",
        "not Formatter, which reads attributes that a text names",
    ),
    ("textwrap", "TextWrapper dedent fill indent shorten wrap", "all of it"),
    (
        "calendar",
        "APRIL AUGUST Calendar DECEMBER Day FEBRUARY FRIDAY HTMLCalendar IllegalMonthError IllegalWeekdayError JANUARY JULY JUNE "
        "MARCH MAY MONDAY Month NOVEMBER OCTOBER SATURDAY SEPTEMBER SUNDAY THURSDAY TUESDAY TextCalendar WEDNESDAY calendar "
        "day_abbr day_name firstweekday isleap leapdays month month_abbr month_name monthcalendar monthrange prcal prmonth "
        "setfirstweekday timegm weekday weekheader",
        "not the calendars of a locale, which change the process's",
    ),
    (
        "zoneinfo",
        "InvalidTZPathWarning ZoneInfo ZoneInfoNotFoundError available_timezones",
        "not TZPATH and reset_tzpath(), which say where files lie",
    ),
    (
        "decimal",
        "BasicContext Clamped Context ConversionSyntax Decimal DecimalException DecimalTuple DefaultContext DivisionByZero "
        "DivisionImpossible DivisionUndefined ExtendedContext FloatOperation HAVE_CONTEXTVAR HAVE_THREADS Inexact InvalidContext "
        "InvalidOperation MAX_EMAX MAX_PREC MIN_EMIN MIN_ETINY Overflow ROUND_05UP ROUND_CEILING ROUND_DOWN ROUND_FLOOR "
        "ROUND_HALF_DOWN ROUND_HALF_EVEN ROUND_HALF_UP ROUND_UP Rounded Subnormal Underflow getcontext localcontext setcontext",
        "all of it",
    ),
    ("fractions", "Fraction", "all of it"),
    (
        "statistics",
        "NormalDist StatisticsError correlation covariance fmean geometric_mean harmonic_mean kde kde_random linear_regression "
        "mean median median_grouped median_high median_low mode multimode pstdev pvariance quantiles stdev variance",
        "all of it",
    ),
    (
        "functools",
        "WRAPPER_ASSIGNMENTS WRAPPER_UPDATES cache cached_property cmp_to_key lru_cache partial partialmethod reduce "
        "total_ordering update_wrapper wraps",
        "not singledispatch, whose register() evaluates annotations that are text",
    ),
    (
        "operator",
        "abs add and_ attrgetter call concat contains countOf delitem eq floordiv ge getitem gt iadd iand iconcat ifloordiv "
        "ilshift imatmul imod imul index indexOf inv invert ior ipow irshift is_ is_not isub itemgetter itruediv ixor le "
        "length_hint lshift lt matmul methodcaller mod mul ne neg not_ or_ pos pow rshift setitem sub truediv truth xor",
        "functions in C; attrgetter() finds what a dot finds",
    ),
    ("collections", "ChainMap Counter OrderedDict UserDict UserList UserString defaultdict deque namedtuple", "all of it"),
    (
        "collections.abc",
        "AsyncGenerator AsyncIterable AsyncIterator Awaitable Buffer ByteString Callable Collection Container Coroutine Generator "
        "Hashable ItemsView Iterable Iterator KeysView Mapping MappingView MutableMapping MutableSequence MutableSet Reversible "
        "Sequence Set Sized ValuesView",
        "all of it",
    ),
    ("heapq", "heapify heappop heappush heappushpop heapreplace merge nlargest nsmallest", "all of it"),
    ("bisect", "bisect bisect_left bisect_right insort insort_left insort_right", "all of it"),
    ("copy", "Error copy deepcopy replace", "not dispatch_table, which is copyreg's"),
    (
        "enum",
        "CONFORM CONTINUOUS EJECT Enum EnumCheck EnumDict EnumMeta EnumType Flag FlagBoundary IntEnum IntFlag KEEP NAMED_FLAGS "
        "ReprEnum STRICT StrEnum UNIQUE auto member nonmember property unique verify",
        "not what writes members into modules (global_enum) or reads them for pickle",
    ),
    (
        "dataclasses",
        "Field FrozenInstanceError InitVar KW_ONLY MISSING asdict astuple dataclass field fields is_dataclass make_dataclass replace",
        "all of it; the text that it makes of the names of fields runs with the program's builtins",
    ),
    (
        "typing",
        "AbstractSet Annotated Any AnyStr AsyncContextManager AsyncGenerator AsyncIterable AsyncIterator Awaitable BinaryIO "
        "ByteString Callable ChainMap ClassVar Collection Concatenate Container ContextManager Coroutine Counter DefaultDict Deque "
        "Dict Final FrozenSet Generator Generic Hashable IO ItemsView Iterable Iterator KeysView List Literal LiteralString "
        "Mapping MappingView Match MutableMapping MutableSequence MutableSet NamedTuple Never NewType NoDefault NoReturn "
        "NotRequired Optional OrderedDict ParamSpec ParamSpecArgs ParamSpecKwargs Pattern Protocol ReadOnly Required Reversible "
        "Self Sequence Set Sized SupportsAbs SupportsBytes SupportsComplex SupportsFloat SupportsIndex SupportsInt SupportsRound "
        "TYPE_CHECKING Text TextIO Tuple Type TypeAlias TypeAliasType TypeGuard TypeIs TypeVar TypeVarTuple TypedDict Union Unpack "
        "ValuesView assert_never assert_type cast dataclass_transform final get_args get_origin is_typeddict overload override "
        "runtime_checkable",
        "not get_type_hints() and ForwardRef, which evaluate text",
    ),
    (
        "abc",
        "ABC ABCMeta abstractclassmethod abstractmethod abstractproperty abstractstaticmethod update_abstractmethods",
        "all of it",
    ),
    ("json", "JSONDecodeError JSONDecoder JSONEncoder dump dumps load loads", "all of it"),
    ("json.decoder", "JSONDecodeError JSONDecoder", "where programs import the error from"),
    ("json.encoder", "JSONEncoder", "the same for the encoder"),
    (
        "csv",
        "Dialect DictReader DictWriter Error QUOTE_ALL QUOTE_MINIMAL QUOTE_NONE QUOTE_NONNUMERIC QUOTE_NOTNULL QUOTE_STRINGS "
        "Sniffer excel excel_tab field_size_limit get_dialect list_dialects reader register_dialect unix_dialect "
        "unregister_dialect writer",
        "all of it",
    ),
    ("io", "BytesIO StringIO", "files in memory; not open(), FileIO and the classes that wrap a descriptor"),
    (
        "base64",
        "a85decode a85encode b16decode b16encode b32decode b32encode b32hexdecode b32hexencode b64decode b64encode b85decode "
        "b85encode decodebytes encodebytes standard_b64decode standard_b64encode urlsafe_b64decode urlsafe_b64encode z85decode "
        "z85encode",
        "functions of bytes",
    ),
    (
        "binascii",
        "Error Incomplete a2b_base64 a2b_hex a2b_qp a2b_uu b2a_base64 b2a_hex b2a_qp b2a_uu crc32 crc_hqx hexlify unhexlify",
        "functions of bytes",
    ),
    ("struct", "Struct calcsize error iter_unpack pack pack_into unpack unpack_from", "all of it"),
    (
        "uuid",
        "NAMESPACE_DNS NAMESPACE_OID NAMESPACE_URL NAMESPACE_X500 RESERVED_FUTURE RESERVED_MICROSOFT RESERVED_NCS RFC_4122 "
        "SafeUUID UUID uuid3 uuid4 uuid5",
        "not uuid1() and getnode(), which ask the machine for its address",
    ),
    (
        "contextlib",
        "AbstractAsyncContextManager AbstractContextManager AsyncExitStack ContextDecorator ExitStack aclosing "
        "asynccontextmanager closing contextmanager nullcontext suppress",
        "not redirect_stdout(), which reads any attribute of sys by a name that a subclass sets; not chdir()",
    ),
    ("types", "SimpleNamespace", "not the types that make functions, code and modules"),
    (
        "unicodedata",
        "bidirectional category combining decimal decomposition digit east_asian_width is_normalized lookup mirrored name "
        "normalize numeric unidata_version",
        "functions of characters",
    ),
    ("pprint", "PrettyPrinter isreadable isrecursive pformat pp pprint saferepr", "all of it"),
    ("graphlib", "CycleError TopologicalSorter", "all of it"),
    ("numbers", "Complex Integral Number Rational Real", "all of it"),
    ("array", "ArrayType array typecodes", "all of it"),
    (
        "zlib",
        "DEFLATED DEF_BUF_SIZE DEF_MEM_LEVEL MAX_WBITS ZLIB_RUNTIME_VERSION ZLIB_VERSION Z_BEST_COMPRESSION Z_BEST_SPEED Z_BLOCK "
        "Z_DEFAULT_COMPRESSION Z_DEFAULT_STRATEGY Z_FILTERED Z_FINISH Z_FIXED Z_FULL_FLUSH Z_HUFFMAN_ONLY Z_NO_COMPRESSION "
        "Z_NO_FLUSH Z_PARTIAL_FLUSH Z_RLE Z_SYNC_FLUSH Z_TREES adler32 compress compressobj crc32 decompress decompressobj error",
        "functions of bytes; a bomb ends at the memory limit",
    ),
    ("html", "escape unescape", "functions of text"),
    (
        "urllib.parse",
        "DefragResult DefragResultBytes ParseResult ParseResultBytes SplitResult SplitResultBytes parse_qs parse_qsl quote "
        "quote_from_bytes quote_plus unquote unquote_plus unquote_to_bytes urldefrag urlencode urljoin urlparse urlsplit "
        "urlunparse urlunsplit",
        "functions of text; nothing is opened",
    ),
    (
        "difflib",
        "Differ HtmlDiff IS_CHARACTER_JUNK IS_LINE_JUNK Match SequenceMatcher context_diff diff_bytes get_close_matches ndiff "
        "restore unified_diff",
        "all of it",
    ),
    (
        "logging",
        "BASIC_FORMAT BufferingFormatter CRITICAL DEBUG ERROR FATAL Filter Formatter Handler INFO LogRecord Logger LoggerAdapter "
        "NOTSET NullHandler StreamHandler WARN WARNING addLevelName basicConfig critical debug disable error exception fatal "
        "getLevelName getLevelNamesMapping getLogger getLoggerClass info log makeLogRecord setLoggerClass warning",
        "to streams of the program; not FileHandler, and basicConfig() without a file's name",
    ),
)
