#
# The runner of guests under a language policy (belljar_language.py): in place of serve(), run() and the commands of
# belljar_session.py. Compiled, in the zygote, only where a policy has one. Once the policy is entered, nothing here may
# import, or look at tracebacks, frames, code or the globals of functions: they are hidden from this text as well.

import _ast  # noqa: F401 # split_last_expression() imports it when it is too late
import codeop  # noqa: F401 # as the shell does
import keyword  # noqa: F401
import marshal

PLAIN_DEPTH = 100

SandboxError = EXCEPTIONS["SandboxError"] = native.SandboxError  # one, for what the policy and what the host refuses
language = None
names = None  # the program's namespace
get_name = type.__dict__["__name__"].__get__
set_keyword_defaults = type(complete).__dict__["__kwdefaults__"].__set__
read_only_list = read_only_dict = None


def start_language(wanted, texts):
    """In the zygote. `wanted` is a SandboxConfig as its to_dict() makes it, or what the command line asks for."""
    global language, read_only_list, read_only_dict
    import datetime  # noqa: F401 # the host's values are made with these
    import decimal  # noqa: F401
    import fractions  # noqa: F401
    import json
    import uuid  # noqa: F401

    policy_text, features_text, config_text = texts
    wanted = json.loads(wanted)
    try:
        if "builtins" not in wanted:
            wanted = expand(wanted, features_text, config_text)
        half = {"native": native, "__name__": "belljar_language"}
        exec(compile(policy_text, "<belljar>", "exec"), half)
        language = half["prepare"](wanted)
    except (ImportError, AttributeError, ValueError) as error:
        native.fail(22, "language", str(error))
    read_only_list, read_only_dict = type(language.proxy([])), type(language.proxy({}))


def expand(wanted, features_text, config_text):
    """What --feature, --allow-module and --read say, through the same text as in Python."""
    for name, text in (("belljar", ""), ("belljar._features", features_text), ("belljar.config", config_text)):
        module = sys.modules[name] = type(sys)(name)
        exec(compile(text, "<belljar>", "exec"), module.__dict__)
    config = module.SandboxConfig(*wanted.get("enable", ()))
    for key, allow in (("allow", config.allow_module), ("allow_safe", config.allow_safe_module)):
        for row in wanted.get(key, ()):
            name, _, symbols = row.partition(":")
            allow(name, *[symbol for symbol in symbols.split(",") if symbol])
    for path in wanted.get("paths", ()):
        config.allow_path(path + "/" if os.path.isdir(path) else path)
    for name in ("belljar._features", "belljar.config"):
        del sys.modules[name]
    return config.to_dict()


def serve_strict():
    """A guest's life."""
    global names
    if names is None:
        reseed()
        if warm_text and not native.is_cold():
            warm_up()
        language.enter()
        names = language.namespace()
    while True:
        kind, frame = native.read_frame()
        if kind == FRAME_BRANCH:
            native.branch()
            after_branch()
        if kind != FRAME_RUN:
            continue
        then = LEAVE if not frame[0] & RUN_SESSION else STAY
        try:
            result = run_strict(frame)
        except BaseException as error:
            result = strict_outcome(error)
        end_calls()
        flush_streams()
        send(result, then)


def run_strict(frame):
    flags, code, filename, path0, argv, files = frame
    begin_calls()
    if files:
        write_files(files)
    if flags & RUN_COMMAND:
        command, *arguments = native.decode_value(code, buffers=native.lent())
        value = STRICT_COMMANDS[command](*arguments)
        encoded = b"" if value is None else native.encode_value(value)
        return RUN_OK, 0, 0, (b"", b"", b"", b"", encoded)
    if flags & RUN_MODULE:
        raise SandboxError("Under a language policy there is no -m: run a file or a text")
    sys.argv[:] = argv or [filename]  # seen by who is allowed sys.argv, and by argparse
    if not code:
        return RUN_OK, 0, 0, (b"", b"", b"", b"", b"")
    source = strict_source(code)
    language.remember(filename, source)
    body, last = split_last_expression(source, filename) if flags & RUN_LAST_VALUE else (source, None)
    language.enter()
    value = None
    with language:
        if body is not None:
            exec(compile(body, filename, "exec", 0, True), names)
        if last is not None:
            value = eval(last, names)
    if value is None:
        return RUN_OK, 0, 0, (b"", b"", b"", b"", b"")
    with language:
        text = value_text(value)
    return RUN_OK, 0, 0, (b"", b"", b"", text, value_bytes(plain(value)))


def strict_source(code):
    """Text is UTF-8 here: what a coding line says could be another text than the one that was looked at."""
    return code.decode("utf-8", "surrogatepass").removeprefix("\ufeff")


def strict_outcome(error):
    """The fields of a failed run's result."""
    for _ in range(3):
        try:
            if isinstance(error, SystemExit):
                return RUN_EXIT, exit_status(error), 0, (b"", b"", b"", b"", b"")
            flags, status = 0, 1
            if isinstance(error, MemoryError):
                flags |= RESULT_MEMORY
                native.make_room()
            if isinstance(error, KeyboardInterrupt):
                flags |= RESULT_INTERRUPT
                status = 130
            with language:
                text = text_of(error)
            name = get_name(type(error))
            fields = [cut(to_bytes(part), most) for part, most in ((name, NAME_MAX), (text, VALUE_MAX))]
            with language:
                shown = language.format_exception(error)
            return RUN_EXCEPTION, status, flags, (*fields, cut(to_bytes(shown), TRACEBACK_MAX), b"", b"")
        except MemoryError:
            native.make_room()
        except KeyboardInterrupt:
            pass
        except BaseException:
            break
    return RUN_EXCEPTION, 1, 0, (b"Exception", b"belljar: the result cannot be described", b"", b"", b"")


def plain(value, depth=0):
    """A value without the policy's own read-only views: copies of what they show."""
    kind = type(value)
    if depth > PLAIN_DEPTH:
        return value
    if kind is read_only_list or kind is list:
        return [plain(item, depth + 1) for item in value]
    if kind is tuple:
        return tuple([plain(item, depth + 1) for item in value])
    if kind is read_only_dict or kind is dict:
        return {key: plain(item, depth + 1) for key, item in value.items()}
    return value


# ---- Host objects: pysandbox's views showed these as well ----------------------------------------------------------


def said(what):
    return lambda self: operate(self, "text", what)


for name in ("str", "repr", "hash"):
    setattr(HostObject, "__%s__" % name, said(name))
HostObject.__doc__ = property(said("doc"))


def get_more(self, name, otherwise=HostObject.__getattr__):
    if name == "__name__":
        return operate(self, "text", "name")
    if name == "__dict__":
        return {name: getattr(self, name) for name in operate(self, "names")}
    return otherwise(self, name)


HostObject.__getattr__ = get_more


# ---- Commands ----------------------------------------------------------------------------------------------------


def views(wrapped):
    """What the host gives, as the program sees it."""
    return {name: language.proxy(value) for name, value in unwrap(wrapped).items()}


def strict_execute(code, given, given_local, is_one, filename):
    """Runs code in an empty namespace or with the given names. Returns what became of the names:
    [[names that are gone, {name: value that is new}] for the globals and for the locals]."""
    source = strict_source(code)
    before = views(given) if given is not None else {}
    before_local = views(given_local) if given_local is not None else None
    inside = language.namespace(before)
    local = inside if is_one else dict(before_local) if before_local is not None else None
    language.run(source, filename, inside, local)
    changes = [changed(before, inside) if given is not None else None]
    changes.append(changed(before_local, local) if before_local is not None else None)
    return changes


def changed(before, after):
    gone = [name for name in before if name not in after]
    new = {}
    for name, value in list(after.items()):
        if type(name) is str and name != "__builtins__" and not (name in before and before[name] is value):
            new[name] = plain(value)
    return [gone, new]


def strict_call(functions, namespaces, wanted, arguments, keywords):
    """Calls a function of the host's: marshalled code and what it refers to (python/belljar/strict.py packs them)."""
    spaces = [language.namespace() for _ in namespaces]
    built = []

    def item(packed):
        kind, value = packed
        if kind == 0:
            return language.proxy(unwrap(value))
        if kind == 1:
            return built[value]
        if kind == 2:
            return language.builtins["__import__"](value, None, None, ("*",))
        if kind == 4:
            return getattr(language.builtins["__import__"](value[0], None, None, (value[1],)), value[1])
        if value == "SandboxError":
            return SandboxError
        return language.builtins[value]

    for code, name, space, defaults, keyword_defaults, cells in functions:
        code = marshal.loads(code)
        language.remember(language.reveal(code, "code", "co_filename"), "")
        function = language.build_function(
            code, spaces[space], name, None if defaults is None else tuple([item(one) for one in defaults]),
            tuple([item(one) for one in cells]))  # fmt: skip
        if keyword_defaults is not None:
            set_keyword_defaults(function, {key: item(one) for key, one in keyword_defaults.items()})
        built.append(function)
    for space, packed in zip(spaces, namespaces):
        for name, one in packed.items():
            space[name] = item(one)
    arguments = [language.proxy(one) for one in unwrap(arguments)]
    keywords = views(keywords)
    language.enter()
    with language:
        return [plain(built[wanted](*arguments, **keywords))]


def strict_expose(name, parameters, doc):
    parameters = parameters and [[*row[:3], None] for row in parameters]  # annotations may be hidden
    names[name] = language.proxy(host_function(name, parameters, doc))


def strict_delete(name):
    del names[name]


def strict_set(name, value):
    names[name] = language.proxy(unwrap(value))


def strict_shell(source, is_all):
    """One statement of `belljar shell`: see belljar_shell.py."""
    try:
        code, filename, source = shell_statement(source, is_all)
        if code is None:
            return SHELL_MORE
        language.remember(filename, source)
        sys.displayhook = strict_display
        language.enter()
        with language:
            exec(code, names)
    except SystemExit as error:
        return SHELL_EXIT + exit_status(error)
    return SHELL_DONE


def strict_display(value):
    if value is not None:
        names["_"] = None
        flush_streams()
        os.write(1, value_text(value) + b"\n")  # sys.stdout is the program's, if it has one
        names["_"] = value


def strict_complete(text):
    try:
        with language:
            return complete_words(text.decode(), [names, language.builtins], keyword.kwlist)
    except BaseException:
        return ""


STRICT_COMMANDS = {
    "shell": strict_shell,
    "complete": strict_complete,
    "get": lambda name: [name in names, plain(names.get(name))],
    "set": strict_set,
    "delete": strict_delete,
    "has": lambda name: [name in names],
    "names": lambda: [[name for name in names if type(name) is str and not name.startswith("_")]],
    "expose": strict_expose,
    "strict_execute": strict_execute,
    "strict_call": strict_call,
    "write": command_write,
    "rest": command_rest,
}
