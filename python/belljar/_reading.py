"""What a program's text says, as plain rows: belljar.check sends this text to a sandbox, which reads /work/script and prints them.

A row is [line, column, kind, name, more]. Nothing of belljar can be imported here, and nothing of the program runs.
"""

from __future__ import annotations

import ast
import json
import re
import sys
from typing import Any

ROWS_MAX = 100000
FIELD = re.compile(r"\{[^{}]*[.\[]_[^{}]*\}")  # a field of a format string that names what begins with an underscore
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
TIMERS = "time", "timeit", "prun", "capture"  # first lines of a cell that leave the rest of it Python


def bound_names(node: ast.AST, found: set[str]) -> set[str]:
    """The names that a scope binds, those of comprehensions in it as well, and not those of functions and classes in it."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(child.name)
            continue
        if isinstance(child, ast.Name) and not isinstance(child.ctx, ast.Load):
            found.add(child.id)
        elif isinstance(child, ast.alias):
            found.add(child.asname or child.name.partition(".")[0])
        elif isinstance(child, ast.arg):
            found.add(child.arg)
        elif isinstance(child, ast.ExceptHandler | ast.MatchAs | ast.MatchStar) and child.name:
            found.add(child.name)
        elif isinstance(child, ast.MatchMapping) and child.rest:
            found.add(child.rest)
        elif type(child).__name__ in ("TypeVar", "ParamSpec", "TypeVarTuple"):
            found.add(child.name)  # type: ignore[attr-defined]
        if not isinstance(child, ast.Lambda):
            bound_names(child, found)
    return found


class Reader(ast.NodeVisitor):
    """Collects the rows of one tree."""

    def __init__(self, tree: ast.AST) -> None:
        self.rows: list[list[Any]] = []
        self.modules: dict[str, str] = {}  # name -> module
        self.symbols: dict[str, tuple[str, str]] = {}  # name -> module and symbol
        self.imported: set[str] = set()
        stored: set[str] = set()
        top = bound_names(tree, set())
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    self.imported.add(alias.name)
                    first = alias.name.partition(".")[0]
                    self.modules[alias.asname or first] = alias.name if alias.asname else first
            elif isinstance(node, ast.ImportFrom) and not node.level:
                for alias in node.names:
                    self.symbols[alias.asname or alias.name] = str(node.module), alias.name
            elif isinstance(node, ast.Global):
                top |= set(node.names)
            elif isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
                stored.add(node.id)
            elif isinstance(node, ast.arg):
                stored.add(node.arg)
        for name in stored:  # it may be something else there
            self.modules.pop(name, None)
            self.symbols.pop(name, None)
        self.scopes: list[tuple[bool, set[str]]] = [(False, top)]

    def add(self, node: Any, kind: str, name: str, more: str = "") -> None:
        if len(self.rows) < ROWS_MAX:
            self.rows.append([node.lineno, node.col_offset + 1, kind, name, more])

    def is_bound(self, name: str) -> bool:
        inner = len(self.scopes) - 1
        return any(name in names and (at == inner or not is_class) for at, (is_class, names) in enumerate(self.scopes))

    def module_of(self, node: ast.AST) -> str | None:
        """The module that an expression is, if it is one that was imported."""
        if isinstance(node, ast.Name):
            return self.modules.get(node.id)
        if isinstance(node, ast.Attribute):
            parent = self.module_of(node.value)
            name = f"{parent}.{node.attr}"
            if parent is not None and any(one == name or one.startswith(name + ".") for one in self.imported):
                return name
        return None

    def symbol_of(self, node: ast.AST) -> tuple[str, str] | None:
        """Module and symbol, if an expression is a symbol of a module."""
        if isinstance(node, ast.Name):
            return self.symbols.get(node.id)
        module = self.module_of(node.value) if isinstance(node, ast.Attribute) else None
        return (module, node.attr) if module is not None and isinstance(node, ast.Attribute) else None

    # ---- Nodes ----

    def add_await(self, node: Any) -> None:
        """What waits outside of every function: only cells may."""
        if len(self.scopes) == 1:
            self.add(node, "await", "")
        self.generic_visit(node)

    visit_Await = visit_AsyncFor = visit_AsyncWith = add_await

    def visit_comprehension(self, node: ast.comprehension) -> None:
        if node.is_async and len(self.scopes) == 1:
            self.add(node.target, "await", "")
        self.generic_visit(node)

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            self.add(alias, "import", alias.name)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        if not node.level:
            for alias in node.names:
                self.add(alias, "from", str(node.module), alias.name)

    def visit_If(self, node: ast.If) -> None:
        is_typing = self.symbol_of(node.test) == ("typing", "TYPE_CHECKING")
        for child in [node.test, *([] if is_typing else node.body), *node.orelse]:
            self.visit(child)

    def visit_Name(self, node: ast.Name) -> None:
        if isinstance(node.ctx, ast.Load) and not self.is_bound(node.id):
            self.add(node, "name", node.id)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        module = self.module_of(node.value)
        if module is not None and self.module_of(node) is None:
            self.add(node, "symbol", module, node.attr)
        else:
            self.add(node, "attribute", node.attr)
        if node.attr in ("format", "format_map") and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            if FIELD.search(node.value.value):
                self.add(node.value, "format", "")
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        name = node.func.id if isinstance(node.func, ast.Name) and not self.is_bound(node.func.id) else ""
        given = [one.value if isinstance(one, ast.Constant) and isinstance(one.value, str) else "" for one in node.args]
        if name in ("getattr", "hasattr", "setattr", "delattr") and len(given) > 1 and given[1]:
            self.add(node.args[1], "attribute", given[1])
        elif name == "print" and not any(one.arg in ("file", None) for one in node.keywords):
            self.add(node, "print", "")
        elif name == "open" and given:
            modes = [one.value.value for one in node.keywords if one.arg == "mode" and isinstance(one.value, ast.Constant)]
            mode = given[1] if len(given) > 1 else modes[0] if modes and isinstance(modes[0], str) else "r"
            self.add(node, "open", given[0], mode)
        self.generic_visit(node)

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        for base in node.bases:
            symbol = self.symbol_of(base)
            if symbol is not None:
                self.add(base, "base", *symbol)
        self.within(node, True, node.body, [*node.decorator_list, *node.bases, *node.keywords])

    def visit_FunctionDef(self, node: Any) -> None:
        defaults = [one for one in (*node.args.defaults, *node.args.kw_defaults) if one is not None]
        self.within(node, False, [node.args, *node.body, *filter(None, [node.returns])], [*node.decorator_list, *defaults])

    visit_AsyncFunctionDef = visit_FunctionDef

    def visit_arguments(self, node: ast.arguments) -> None:
        for one in (*node.posonlyargs, *node.args, *node.kwonlyargs, node.vararg, node.kwarg):
            if one is not None:
                self.visit(one)

    def visit_Lambda(self, node: ast.Lambda) -> None:
        self.within(node, False, [node.body], [one for one in (*node.args.defaults, *node.args.kw_defaults) if one is not None])

    def within(self, node: ast.AST, is_class: bool, inside: list[Any], outside: list[Any]) -> None:
        for child in outside:
            self.visit(child)
        self.scopes.append((is_class, bound_names(node, set())))
        for child in inside:
            self.visit(child)
        self.scopes.pop()


def as_python(text: str) -> tuple[str, list[list[Any]], int]:
    """A notebook's cell as belljar_guest/_cells.py takes it: the Python in it, a row for each line that is none, and how far it was
    indented."""
    rows: list[list[Any]] = []
    lines = text.split("\n")
    first = next((line for line in lines if line.strip() and not line.lstrip().startswith("#")), "")
    indent = first[: len(first) - len(first.lstrip())]
    for at, line in enumerate(lines):
        line = lines[at] = line.removeprefix(indent)
        stripped = line.strip()
        start = len(line) - len(line.lstrip())
        target, equals, value = stripped.partition("=")
        if equals and target.strip().isidentifier() and value.strip()[:1] in ("!", "%"):
            stripped, kept = value.strip(), f"{target}= None"
        else:
            kept = "pass"
        is_question = stripped.endswith("?") and stripped.strip("?").replace(".", "").isidentifier()
        if is_question or (stripped[:1] in ("!", "%") and stripped.strip("!% ")):
            rows.append([at + 1, len(indent) + start + 1, "line", "", ""])
            lines[at] = line[:start] + kept
            if stripped.startswith("%%") and not any(before.strip() for before in lines[:at]):
                if stripped[2:].split()[0] not in TIMERS:
                    del lines[at + 1 :]
                break
    return "\n".join(lines), rows, len(indent)


def parsed(text: str) -> ast.AST:
    """The tree of a text that compiles, as a cell or as it is."""
    tree = ast.parse(text)
    compile(tree, "script", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, True)
    return tree


def read_text(source: bytes) -> list[list[Any]]:
    """The rows of a text, or one that says why there are none."""
    indent = 0
    rows: list[list[Any]] = []
    try:
        text = source.decode("utf-8-sig")
        try:
            tree = parsed(text)
        except SyntaxError as error:
            text, rows, indent = as_python(text)
            if indent:
                rows.insert(0, [error.lineno or 1, error.offset or 1, "indent", "unexpected indent", ""])
            if not rows:
                raise
            try:
                tree = parsed(text)
            except SyntaxError as other:
                return [*rows, [other.lineno or 1, (other.offset or 1) + indent, "syntax", str(other.msg), ""]]
    except SyntaxError as error:
        return [[error.lineno or 1, error.offset or 1, "syntax", str(error.msg), ""]]
    except UnicodeDecodeError as error:
        return [[source[: error.start].count(b"\n") + 1, 1, "syntax", "it is not UTF-8", ""]]
    except ValueError as error:  # a null byte
        return [[1, 1, "syntax", str(error), ""]]
    reader = Reader(tree)
    reader.visit(tree)
    return [*rows, *([line, column + indent, *more] for line, column, *more in reader.rows)]


def main() -> None:
    sys.setrecursionlimit(100000)
    with open("/work/script", "rb") as file:
        rows = read_text(file.read())
    print(json.dumps(rows))
