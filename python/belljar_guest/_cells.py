"""Code as people type it into notebooks: indented, with `await` outside of a function, with lines for IPython or a shell."""

from __future__ import annotations

import builtins
import os
import sys
from typing import TYPE_CHECKING

from belljar_guest import _program, _state

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from types import CodeType
    from typing import Any

    from belljar_guest._policy import Policy

CALL = "__belljar_line__"  # what such a line becomes a call of
SHELLS = ("bash", "sh", "system", "sx", "script")
NOTHING_TO_DO = ("matplotlib", "config", "load_ext", "autoreload", "autosave", "precision", "pylab", "colors")
INSTEAD = {  # what to write in place of a line, where it is more than Python
    "!ls": "os.listdir()", "!cat": "open(name).read()", "!head": "open(name).readlines()[:10]", "!pwd": "os.getcwd()", "!cd": "os.chdir(folder)",
    "!mkdir": "os.makedirs(folder)", "!rm": "os.remove(name)", "!cp": "shutil.copy(a, b)", "!mv": "shutil.move(a, b)", "!echo": "print(...)",
    "!python": "runpy.run_path(name), or the code itself", "!python3": "runpy.run_path(name), or the code itself",
    "!wget": "a file that the caller hands in (files=): there is no network", "!curl": "a file that the caller hands in (files=): there is no network",
    "!git": "files that the caller hands in (files=): there is no network", "!unzip": "zipfile.ZipFile(name).extractall()",
    "!tar": "tarfile.open(name).extractall()", "!find": "pathlib.Path().rglob(pattern)", "!grep": "re.findall(pattern, text)",
    "!wc": "len(open(name).readlines())", "!apt": "what is installed (!pip list): nothing can be added here",
    "!apt-get": "what is installed (!pip list): nothing can be added here", "!conda": "what is installed (!pip list): nothing can be added here",
    "%conda": "what is installed (!pip list): nothing can be added here", "%run": "runpy.run_path(name)", "%env": "os.environ", "%set_env": "os.environ",
    "%ls": "os.listdir()", "%cat": "open(name).read()", "%mkdir": "os.makedirs(folder)", "%reset": "del name", "%prun": "cProfile.run(code)",
    "%debug": "traceback.print_exc()", "%pdb": "traceback.print_exc()", "%load": "open(name).read()", "%pinfo": "help(name)", "%memit": "tracemalloc",
    "%capture": "contextlib.redirect_stdout(io.StringIO())", "%html": "display(thing), which shows its _repr_html_()",
}  # fmt: skip


# ---- The text ----------------------------------------------------------------------------------------------------


cell = ""  # the name of the one that is rewritten


def rewritten(policy: Policy, source: str, filename: str) -> str | None:
    """The text that may be meant by one which is no Python, line for line; None if there is none."""
    global cell
    cell = filename
    text = dedented(source)
    lines = text.split("\n")
    first = next((number for number, line in enumerate(lines) if line.strip()), None)
    if first is not None and lines[first].startswith("%%"):
        name, _, rest = lines[first][2:].partition(" ")
        body = "\n" * (first + 1) + "\n".join(lines[first + 1 :])
        text = "\n" * first + call("%" + name, rest, body)
    else:
        text = "\n".join(map(line_rewritten, lines))
    if text != source and CALL in text:
        if not policy.is_open:
            raise SyntaxError(policy.no_lines)
        vars(builtins)[CALL] = lambda *arguments: perform_line(policy, *arguments)
    return text if text != source else None


def dedented(source: str) -> str:
    """Without the indentation of its first line."""
    lines = source.split("\n")
    first = next((line for line in lines if line.strip() and not line.lstrip().startswith("#")), "")
    indent = first[: len(first) - len(first.lstrip())]
    return "\n".join(line.removeprefix(indent) for line in lines) if indent else source


def line_rewritten(line: str) -> str:
    stripped = line.strip()
    indent = line[: len(line) - len(line.lstrip())]
    target, equals, value = stripped.partition("=")
    if equals and target.strip().isidentifier() and value.strip()[:1] in ("!", "%"):
        return indent + target + "= " + line_rewritten(value.strip())
    if stripped[:1] in ("!", "%") and stripped.strip("!% "):
        name, _, rest = stripped[1:].strip().partition(" ")
        return indent + call(stripped[0] + name, rest)
    if stripped.endswith("?") and stripped.strip("?").replace(".", "").isidentifier():
        return indent + call("?", stripped.strip("?"))
    return line


def call(*arguments: str) -> str:
    return "%s(%s)" % (CALL, ", ".join(map(repr, arguments)))


# ---- The lines ---------------------------------------------------------------------------------------------------


def perform_line(policy: Policy, name: str, rest: str, body: str | None = None) -> Any:
    """Does what a line for IPython says, or says what to write instead."""
    sign, word = name[0], name[1:]
    if word in ("pip", "pip3") or (word in ("python", "python3") and rest.startswith("-m pip ")):
        return pip(rest.removeprefix("-m pip "))
    if sign == "%" and word in LINES:
        return LINES[word](policy, rest, body)
    if sign == "%" and word in NOTHING_TO_DO and body is None:
        return None
    other = {"?": "help(%s)" % rest}.get(name) or INSTEAD.get(name)
    said = "use " + other if other else "write it in Python" + (", there is no shell" if sign == "!" or word in SHELLS else "")
    shown = "%" + name if body is not None else name
    what = "a shell's" if sign == "!" else "IPython's"
    raise RuntimeError("belljar: a line with %s is %s, and this is plain Python: %s" % (shown, what, said))


def pip(rest: str) -> None:
    """pip list, freeze, show; pip install of what is there. Nothing can be installed."""
    from importlib import metadata

    verb, *words = rest.split() or ["list"]
    there: dict[str, str] = {}
    for found in metadata.distributions():
        there.setdefault(found.metadata["Name"] or "", found.version)
    if verb in ("list", "freeze"):
        form = "%s==%s" if verb == "freeze" else "%-30s %s"
        print("\n".join(form % row for row in sorted(there.items(), key=lambda row: row[0].lower()) if row[0]))
        return
    if verb not in ("install", "show"):
        raise RuntimeError("belljar: pip %s is nothing that can be done here: use !pip list" % verb)
    known = {plain(name): (name, version) for name, version in there.items()}
    missing = []
    for word in words:
        name = plain("".join(word.partition(sign)[0] for sign in [next((sign for sign in "=<>!~[;@" if sign in word), "\0")]))
        if word.startswith("-") or not name:
            continue
        if name in known:
            print(
                "Requirement already satisfied: %s (%s)" % known[name]
                if verb == "install"
                else "Name: %s\nVersion: %s" % known[name]
            )
        else:
            missing.append(word)
    if missing:
        print("belljar: not installed, and nothing can be installed here, as there is no network: %s. !pip list shows what there is; "
              "whoever made the sandbox can choose an interpreter that has more (python=)." % ", ".join(missing), file=sys.stderr)  # fmt: skip


def plain(name: str) -> str:
    return name.lower().replace("_", "-").replace(".", "-")


def run_text(policy: Policy, text: str) -> Any:
    """Runs code in the program's names. Returns the value of a last expression."""
    body, last = _program.split_last_expression(text, cell)
    if body is not None:
        exec(compile(body, cell, "exec", 0, True), policy.names)
    return eval(last, policy.names) if last is not None else None


def line_time(policy: Policy, rest: str, body: str | None) -> Any:
    import time

    wall, cpu = time.perf_counter(), time.process_time()
    value = run_text(policy, rest if body is None else body)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    print("CPU time: %s, wall time: %s" % (seconds(cpu), seconds(wall)))
    return value


def line_timeit(policy: Policy, rest: str, body: str | None) -> None:
    import timeit

    number = repeat = 0
    while rest[:2] in ("-n", "-r"):
        count, _, after = rest[2:].lstrip().partition(" ")
        number, repeat = (int(count), repeat) if rest[1] == "n" else (number, int(count))
        rest = after.lstrip()
    repeat = repeat or 7
    setup, text = ("pass", rest) if body is None else (rest.strip() or "pass", body.strip("\n"))
    timer = timeit.Timer(text, setup, globals=policy.names)
    if not number:
        number, took = timer.autorange()
        repeat = repeat if took < 1 else 1
    runs = [total / number for total in timer.repeat(repeat, number)]
    mean = sum(runs) / len(runs)
    spread = (sum((one - mean) ** 2 for one in runs) / len(runs)) ** 0.5
    print(
        "%s ± %s per loop (mean ± std. dev. of %d runs, %s loops each)"
        % (seconds(mean), seconds(spread), repeat, format(number, ","))
    )


def seconds(number: float) -> str:
    for unit, scale in (("s", 1.0), ("ms", 1e3), ("µs", 1e6)):
        if number * scale >= 1:
            return "%.3g %s" % (number * scale, unit)
    return "%.3g ns" % (number * 1e9)


def line_who(policy: Policy, rest: str, body: str | None) -> None:
    names = [name for name in policy.names if type(name) is str and not name.startswith("_")]
    print("   ".join(sorted(names)) if names else "Interactive namespace is empty.")


def line_whos(policy: Policy, rest: str, body: str | None) -> None:
    for name, value in sorted(policy.names.items()):
        if not name.startswith("_"):
            print("%-20s %-15s %.60s" % (name, type(value).__name__, repr(value)))


def line_cd(policy: Policy, rest: str, body: str | None) -> None:
    os.chdir(rest.strip() or _state.WORK)


def line_pwd(policy: Policy, rest: str, body: str | None) -> str:
    return os.getcwd()


def line_writefile(policy: Policy, rest: str, body: str | None) -> None:
    words = rest.split()
    if body is None or not words:
        raise RuntimeError("belljar: %%writefile NAME is a cell's first line, and writes what follows")
    with open(words[-1], "a" if "-a" in words[:-1] else "w") as file:
        file.write(body.lstrip("\n"))
    print("Writing", words[-1])


LINES: dict[str, Callable[[Policy, str, str | None], Any]] = {
    "cd": line_cd, "pwd": line_pwd, "time": line_time, "timeit": line_timeit, "who": line_who, "whos": line_whos, "writefile": line_writefile,
}  # fmt: skip


# ---- Await -------------------------------------------------------------------------------------------------------


async def cell_in_loop(names: dict[str, Any], parts: list[CodeType], waits: list[bool]) -> Any:
    """A cell of which a part awaits: what comes before that is in the loop as well, as it may make tasks."""
    value = None
    for part, is_coroutine in zip(parts, waits):
        value = eval(part, names)
        if is_coroutine:
            value = await value
    return value


def run_coroutine(coroutine: Coroutine[Any, Any, Any], stays: bool) -> Any:
    """Runs a cell that awaits to its end."""
    import asyncio

    if not stays:
        with asyncio.Runner() as once:
            return once.run(coroutine)
    if _state.runner is None:
        _state.runner = asyncio.Runner()
    return _state.runner.run(coroutine)


def after_branch() -> None:
    """Gives a branch's loop what it shares with the session's, or what stayed there: selector, pipe and threads."""
    try:
        loop = _state.runner.get_loop()
        loop._default_executor = None
        if not hasattr(loop, "_ssock"):
            return  # a language policy's
        watched = [key for key in loop._selector.get_map().values() if key.fd != loop._ssock.fileno()]
        for thing in (loop._selector, loop._ssock, loop._csock):
            thing.close()
        loop._selector = type(loop._selector)()
        for key in watched:
            loop._selector.register(key.fileobj, key.events, key.data)
        loop._internal_fds -= 1
        loop._make_self_pipe()
    except Exception:
        _state.runner = None  # of another kind: the next cell that awaits makes one


def hide_loop(error: BaseException, filename: str) -> None:
    """Takes the frames of the loop off a traceback, down to the first of the program's."""
    if isinstance(error, KeyboardInterrupt) and error.__context__ is not None:  # the loop's, where it cancelled the program
        error.__traceback__, error.__context__ = error.__context__.__traceback__, None
    entry: Any = error.__traceback__
    while entry is not None and entry.tb_frame.f_code.co_filename != filename:
        entry = entry.tb_next
    if entry is not None:
        error.__traceback__ = entry
