"""`belljar check` and `SandboxConfig.check()`: what a language policy would refuse, seen in a program's text without running it.

The text may be anybody's, and parsers have ends of their own (depth, memory): it is read in a sandbox, by _reading.py. What
that says of it are plain rows; they are judged here, where they are checked like everything that a guest says.
"""

from __future__ import annotations

import argparse
import inspect
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from belljar import _reading
from belljar._core import core
from belljar._shared import hints
from belljar._shared.config import expand
from belljar.errors import SandboxError
from belljar.learn import FAILURES, ended_by, plain, read_source, run_once

__all__ = ["Violation", "check_text", "main"]

SOURCE_BYTES_MAX = 32 << 20


@dataclass(frozen=True, slots=True)
class Violation:
    """One thing in the text that the policy would refuse."""

    line: int
    column: int
    """From 1 on, in characters."""
    kind: str
    """import, from, symbol, base, name, attribute, format, print, open, await, line or syntax."""
    name: str
    text: str
    """The refusal in words, with what would permit it."""

    def __str__(self) -> str:
        return f"{self.line}:{self.column}: {self.text}"


def check_text(
    language: dict[str, Any], code: str | bytes, filename: str = "<code>", *, python: str | None = None, is_cell: bool = True
) -> list[Violation]:
    """The violations, by line. `is_cell`: it is for a session's `run_code`, which takes what is typed into notebooks. `SandboxError` if the sandbox fails, `ValueError` for what cannot be a program's text."""
    source = code.encode("utf-8", "surrogatepass") if isinstance(code, str) else bytes(code)
    if len(source) > SOURCE_BYTES_MAX:
        raise ValueError(f"{filename} is larger than {SOURCE_BYTES_MAX >> 20} MiB")
    policy = core.Policy()
    policy.set("timeout", "60")
    policy.set("memory", '"2G"')
    policy.set("output", str(64 << 20))
    policy.set("scratch", str(SOURCE_BYTES_MAX + (16 << 20)))
    if python is not None:
        policy.set("python", json.dumps(python))
    text = inspect.getsource(_reading) + "\nmain()\n"
    result = run_once(policy, None, text.encode(), files=[("script", source)])
    if result.verdict not in ("ok", "error", "memory", "crashed", "timeout", "cpu"):
        raise SandboxError(f"the text could not be looked at: {result.verdict}")
    rows = _rows(result.stdout) if result.verdict == "ok" and result.exit == 0 else None
    if rows is None:  # the parser's own end: nothing that Python could run
        takes = "takes too long to read" if result.verdict in ("timeout", "cpu") else "is too large or nested too deeply"
        return [Violation(1, 1, "syntax", "", f"the text {takes}: divide it")]
    return judge_rows(language, rows, is_cell)


def judge_rows(language: dict[str, Any], rows: list[list[Any]], is_cell: bool = True) -> list[Violation]:
    """The violations in what _reading.py says of a text, by line."""
    judge = _Judge(language, {row[3] for row in rows if row[2] == "from" and row[4] == "*"}, is_cell)
    found = {(line, column, text): Violation(line, column, kind, name, text)
             for line, column, kind, name, more in rows for text in [judge(kind, name, more)] if text}  # fmt: skip
    return sorted(found.values(), key=lambda one: (one.line, one.column))


def _rows(stdout: bytes | str) -> list[list[Any]] | None:
    """What the sandbox answered, if it is rows."""
    try:
        rows = json.loads(stdout)
    except (ValueError, RecursionError):
        return None
    kinds = (int, int, str, str, str)
    if type(rows) is list and len(rows) <= _reading.ROWS_MAX and all(
        type(row) is list and len(row) == 5 and all(type(item) is kind for item, kind in zip(row, kinds, strict=True)) for row in rows
    ):  # fmt: skip
        return rows
    return None


class _Judge:
    """Says of a row what the policy refuses, or nothing."""

    def __init__(self, language: dict[str, Any], stars: set[str], is_cell: bool) -> None:
        self.language = language
        self.is_cell = is_cell
        self.imports: dict[str, set[str]] = {
            name: {*row["proxied"], *row["safe"], *hints.REPLACED.get(name, "").split()}
            for name, row in language["imports"].items()
        }
        self.by_star = {symbol for name in stars for symbol in self.imports.get(name, ())}

    def __call__(self, kind: str, name: str, more: str) -> str:
        judges: dict[str, Callable[[str, str], str]] = {
            "import": self.on_import, "from": self.on_from, "symbol": self.on_symbol, "name": self.on_name,
            "attribute": self.on_attribute, "format": self.on_format, "print": self.on_print, "open": self.on_open,
            "base": self.on_base, "syntax": self.on_syntax, "await": self.on_await, "line": self.on_line, "indent": self.on_indent,
        }  # fmt: skip
        judge = judges.get(kind)
        return judge(name, more) if judge is not None else ""

    def on_syntax(self, says: str, _: str) -> str:
        return f"SyntaxError: {says}"

    def on_await(self, _: str, __: str) -> str:
        if not self.is_cell:
            return "SyntaxError: 'await' outside function: a script writes asyncio.run(main()); a session's run_code has a loop"
        return "" if "asyncio" in self.language["features"] else f"SyntaxError: 'await' outside function{hints.for_await()}"

    def on_line(self, _: str, __: str) -> str:
        return f"SyntaxError: {hints.IPYTHON}"

    def on_indent(self, says: str, _: str) -> str:
        return "" if self.is_cell else f"IndentationError: {says}"

    def on_import(self, name: str, _: str) -> str:
        if name in self.imports or name in self.language["internal"]:
            return ""
        return f'Import "{name}" blocked by the sandbox{hints.for_import(name)}'

    def on_from(self, module: str, symbol: str) -> str:
        if f"{module}.{symbol}" in self.imports:
            return ""
        return self.on_import(module, "") or ("" if symbol == "*" else self._lacks("cannot import name", "from", module, symbol))

    def on_symbol(self, module: str, symbol: str) -> str:
        has_module = module in self.imports or module in self.language["internal"]
        return self._lacks("there is no", "in", module, symbol) if has_module else ""

    def _lacks(self, says: str, of: str, module: str, symbol: str) -> str:
        if symbol in self.imports.get(module, ()) or symbol in ("__name__", "__doc__", "__all__"):
            return ""
        return f"{says} {symbol!r} {of} {module!r} under this policy{hints.for_symbol(module, symbol)}"

    def on_name(self, name: str, _: str) -> str:
        hint = hints.for_builtin(name) if name not in self.language["builtins"] and name not in self.by_star else ""
        return hint and f"name {name!r} is not defined{hint}"

    def on_attribute(self, name: str, _: str) -> str:
        hint = hints.for_attribute(name)
        if not hint or hints.HIDDEN_NAMES[name] in self.language["features"]:
            return ""
        return f"the attribute {name!r} is hidden{hint}"

    def on_format(self, _: str, __: str) -> str:
        return "a format field with a name that starts with _ is blocked; nothing permits it: hand the value itself to format()"

    def on_print(self, _: str, __: str) -> str:
        return "" if "stdout" in self.language["streams"] else f"Block access to sys.stdout.write{hints.for_stream('stdout')}"

    def on_open(self, path: str, mode: str) -> str:
        if "open" not in self.language["builtins"]:
            return ""  # said of the name
        if set(mode) & set("wax+"):
            return "open() only reads; nothing permits writing: return the text, or print it"
        if not path or any(path == one or (one.endswith("/") and path.startswith(one)) for one in self.language["open"]):
            return ""
        return f"Sandbox deny access to the file {path!r}{hints.for_path(path)}"

    def on_base(self, module: str, symbol: str) -> str:
        row = self.language["imports"].get(module, {"proxied": ()})
        if symbol not in row["proxied"]:
            return ""
        return f'{module}.{symbol} is a view, which has no subclasses; to permit it: allow_safe_module("{module}", "{symbol}")'


def language_of(values: dict[str, Any]) -> dict[str, Any]:
    """The language policy of a policy's options; without one, the one that allows nothing."""
    language = values.get("language")
    if language is not None and "builtins" in language:
        return dict(language)
    short = language or {
        "enable": values.get("feature") or (),
        "allow": values.get("allow_module") or (),
        "allow_safe": values.get("allow_safe_module") or (),
        "recursion_limit": values.get("recursion_limit"),
    }
    return expand({"paths": values.get("read") or (), **short})


def main(arguments: Sequence[str] | None = None) -> int:
    """The command. `belljar check --help` says what it takes; only the flags of check itself come this far."""
    parser = argparse.ArgumentParser(prog="python -m belljar.check", description="Shows what a language policy would refuse.",
                                     allow_abbrev=False)  # fmt: skip
    parser.add_argument("--policy", metavar="FILE", help="the policy file")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("scripts", nargs="+")
    given = parser.parse_args(arguments)
    try:
        policy = core.Policy()
        if given.policy is not None:
            policy.load(given.policy)
        values: dict[str, Any] = json.loads(policy.json())
        language = language_of(values)
        found = {
            script: check_text(language, read_source(script), script, python=values["python"], is_cell=False)
            for script in given.scripts
        }
    except FAILURES as error:
        return ended_by(error)
    if given.json:
        print(json.dumps({script: [asdict(one) for one in violations] for script, violations in found.items()}))
    else:
        for script, violations in found.items():
            for one in violations:
                print(plain(f"{script}:{one}"))
    sys.stdout.flush()
    return 1 if any(found.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
