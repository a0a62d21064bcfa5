

# ---- The shell: what `belljar shell` asks (cli/shell.c) ----------------------------------------------------------

SHELL_DONE, SHELL_MORE, SHELL_EXIT = 0, 1, 2  # and the status of exit() above that
shell_compiler = None
shell_count = 0


def shell_statement(source, is_all):
    """The code of one statement of the shell's and its file's name. The code is None if the statement goes on; whether
    it does is the guest's business: text that nobody trusts is not compiled on the host."""
    global shell_compiler, shell_count
    if shell_compiler is None:
        import codeop

        # The first remembers what `from __future__ import` asked for, by an attribute that a language policy hides.
        shell_compiler = codeop.compile_command if is_strict else codeop.CommandCompiler()
        if sys.path[:1] != [WORK]:
            sys.path.insert(0, WORK)
        sys.argv[:] = [""]
        builtins.input = shell_input
        try:  # nothing else of the host's is read: sys.stdin is at its end
            reader, writer = os.pipe()
            os.dup2(reader, 0)
            os.close(reader)
            os.close(writer)
        except OSError:
            pass
    filename = "<stdin-%d>" % (shell_count + 1)
    source = source.decode()
    code = failure = None
    try:
        code = shell_compiler(source, filename, "single")
    except SyntaxError as error:
        failure = error
    if failure is not None:  # in codeop's words it is "incomplete input", whatever it is
        compile(source, filename, "single", 0, True)
        raise failure
    if code is None and is_all:
        code = compile(source + "\n", filename, "single", 0, True)
    if code is not None:
        shell_count += 1
    return code, filename, source


def command_shell(source, is_all):
    try:
        try:
            code, filename, source = shell_statement(source, is_all)
        except (SyntaxError, ValueError, OverflowError) as error:
            error.__traceback__ = None
            raise
        if code is None:
            return SHELL_MORE
        remember_source(filename, source)
        exec(code, main.__dict__)
    except SystemExit as error:
        return SHELL_EXIT + exit_status(error)
    except BaseException as error:
        if isinstance(error, MemoryError):
            native.make_room()
        flush_streams()
        hide_frames(error)
        sys.last_type, sys.last_value, sys.last_traceback = type(error), error, error.__traceback__
        if sys.excepthook is not sys.__excepthook__:
            sys.excepthook(type(error), error, error.__traceback__)
        else:
            sys.stderr.write(format_traceback(error, to_bytes(type_name(error)) + b"\n").decode())
    return SHELL_DONE


def shell_input(prompt="", /):
    """input(): the host reads the line, from where it reads statements."""
    global call_number
    sys.stdout.flush()
    data = native.encode_value(str(prompt)[:1000])
    with call_lock:
        call_number += 1
        failed, answer = native.call(call_number, CALL_FUNCTION, data)
    answer = native.decode_value(answer)
    if failed:
        raise {"EOFError": EOFError}.get(answer, KeyboardInterrupt)
    return answer


def complete_words(text, spaces, keywords):
    """What the word at the end of a line may become: names of the namespaces, or attributes."""
    *path, begun = text.split(".")
    if path:
        thing = next((space[path[0]] for space in spaces if path[0] in space), None)
        for name in path[1:]:
            thing = getattr(thing, name)
        found = dir(thing)
    else:
        found = [name for space in spaces for name in space]
        found += keywords
    found = {name for name in found if type(name) is str and name.startswith(begun)}
    if not begun:
        found = {name for name in found if not name.startswith("_")}
    return "\n".join(".".join([*path, name]) for name in sorted(found)[:1000])


def command_complete(text):
    """Finished words, one a line; nothing where looking them up fails, which may run code of the program's."""
    import keyword

    try:
        return complete_words(text.decode(), [main.__dict__, builtins.__dict__], keyword.kwlist)
    except BaseException:
        return ""


COMMANDS["shell"] = command_shell
COMMANDS["complete"] = command_complete
