"""Functions that a notebook's kernel has run in the session: they travel there as code, and look at its variables."""

from __future__ import annotations

__all__ = ["PUT_INPUT", "complete", "describe", "how_complete"]

PUT_INPUT = """
def _belljar_put_input():
    import builtins
    ask = _belljar_input
    def input(prompt=""):
        answer = ask(str(prompt))
        if answer is None:
            raise EOFError("EOF when reading a line")
        return answer
    builtins.input = input
_belljar_put_input()
del _belljar_put_input, _belljar_input
"""


def complete(line: str) -> tuple[str, list[str]]:
    """The text before the cursor that a completion replaces, and what may stand there."""
    import __main__
    import pkgutil
    import re
    import rlcompleter
    import sys

    if found := re.search(r"^\s*(?:import|from)\s+(\w*)$", line):
        start = found[1]
        names = {*sys.stdlib_module_names, *sys.builtin_module_names, *(module.name for module in pkgutil.iter_modules())}
        return start, sorted(name for name in names if name.startswith(start) and (start or not name.startswith("_")))
    found = re.search(r"[\w.]*$", line)
    start = found[0] if found else ""
    if not start:
        return "", []
    completer = rlcompleter.Completer(vars(__main__))
    found_names = completer.attr_matches(start) if "." in start else completer.global_matches(start)
    return start, sorted({name.rstrip("(): ") for name in found_names})


def describe(name: str, with_source: bool) -> str | None:
    """What help there is for a name of the session: signature, type, docstring. None if there is no such name."""
    import __main__
    import builtins
    import inspect

    first, *rest = name.split(".")
    names = vars(__main__)
    if first not in names and not hasattr(builtins, first):
        return None
    value = names[first] if first in names else getattr(builtins, first)
    for part in rest:
        if not hasattr(value, part):
            return None
        value = getattr(value, part)
    lines = [f"Type: {type(value).__name__}"]
    if callable(value):
        try:
            lines.insert(0, f"Signature: {name}{inspect.signature(value)}")
        except (TypeError, ValueError):
            pass
    elif not inspect.ismodule(value):
        lines.append(f"Value: {repr(value)[:1000]}")
    lines += ["", inspect.getdoc(value) or "(no docstring)"]
    if with_source:
        try:
            lines += ["", "Source:", inspect.getsource(value)]
        except (OSError, TypeError):
            pass
    return "\n".join(lines)


def how_complete(code: str) -> tuple[str, str]:
    """Whether code that is being typed is "complete", "incomplete" (and how the next line is indented) or "invalid"."""
    import ast
    import codeop
    import re

    if re.match(r"\s*[%!]", code):
        return "complete", ""
    compiler = codeop.CommandCompiler()
    compiler.compiler.flags |= ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    try:
        made = compiler(code, "<cell>", "exec")
    except (SyntaxError, ValueError, OverflowError):
        return "invalid", ""
    last = code.rstrip(" ").rpartition("\n")[2] if not code.endswith("\n") else ""
    indent = last[: len(last) - len(last.lstrip())]
    if made is None:
        return "incomplete", indent + "    " * last.rstrip().endswith(":")
    return ("incomplete", indent) if indent else ("complete", "")
