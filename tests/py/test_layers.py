"""The trusted folders are floors: who lies below knows nothing of who is above, and no two files need each other."""

import collections
import os
import pathlib
import re
import shutil
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
BUILD = pathlib.Path(os.environ["BELLJAR_BUILD"])
# From the ground up. A folder may use itself, and those before it that it lists.
MAY_USE = {
    "base": set(),
    "wire": {"base"},
    "policy": {"base", "wire"},
    "lockdown": {"base", "wire", "policy"},
    "files": {"base", "policy", "wire"},
    "supervisor": {"base", "wire", "policy", "lockdown", "files"},
}
# Headers of constants that both sides of the jar know.
SHARED = {"guest/deed.h", "guest/boot.h", "guest/environment.h"}
Graph = dict[str, set[str]]


def circles(graph: Graph) -> list[list[str]]:
    """Groups of nodes that reach each other (Tarjan's algorithm)."""
    number: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(node: str) -> None:
        number[node] = low[node] = len(number)
        stack.append(node)
        for other in sorted(graph.get(node, set())):
            if other not in number:
                visit(other)
                low[node] = min(low[node], low[other])
            elif other in stack:
                low[node] = min(low[node], number[other])
        if low[node] == number[node]:
            group = [stack.pop()]
            while group[-1] != node:
                group.append(stack.pop())
            if len(group) > 1 or node in graph.get(node, set()):
                found.append(sorted(group))

    for node in sorted(graph):
        if node not in number:
            visit(node)
    return found


def includes(folder: str) -> Graph:
    graph: Graph = {}
    for path in sorted((ROOT / folder).glob("*.[ch]")):
        graph[f"{folder}/{path.name}"] = set(re.findall(r'^#include "([^"]+)"', path.read_text(), re.MULTILINE))
    return graph


def calls() -> Graph:
    """Which object uses a symbol of which other, by the objects that the build made."""
    defined: dict[str, str] = {}
    used: dict[str, set[str]] = collections.defaultdict(set)
    for path in sorted(
        [*BUILD.glob("libsupervisor.a.p/*.o"), *BUILD.glob("libcommon.a.p/*.o"), *BUILD.glob("belljar-supervisor.p/*.o")]
    ):
        folder, name = path.name.removesuffix(".o").split("_", 1)
        node = f"{folder}/{name}"
        for line in subprocess.run(["nm", path], check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines():
            kind, symbol = line.split()[-2:]
            if kind == "U":
                used[node].add(symbol)
            elif kind.isupper():
                defined[symbol] = node
    return {node: {defined[symbol] for symbol in symbols if symbol in defined} - {node} for node, symbols in used.items()}


def test_the_finder_finds_a_circle() -> None:
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": {"a"}}) == [["b", "c"]]
    assert circles({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == []


@pytest.mark.parametrize("folder", sorted(MAY_USE))
def test_a_folder_includes_only_what_lies_below_it(folder: str) -> None:
    for name, included in includes(folder).items():
        for other in included - SHARED:
            where = other.split("/")[0]
            assert where == folder or where in MAY_USE[folder], f"{name} includes {other}"


def test_no_header_includes_its_own_includer() -> None:
    headers = {name: used for folder in MAY_USE for name, used in includes(folder).items() if name.endswith(".h")}
    assert circles(headers) == []


def test_no_two_files_of_the_trusted_process_call_each_other() -> None:
    if shutil.which("nm") is None:
        pytest.skip("no nm: binutils is not installed")
    graph = calls()
    if not any(name.startswith("supervisor/") for name in graph):
        pytest.skip("the build directory holds no objects: it is an installed copy")
    assert len(graph) > 30
    # A step of lockdown/ reports to the list that it stands in: a circle by design.
    assert [group for group in circles(graph) if not all(name.startswith("lockdown/") for name in group)] == []
    for name, used in graph.items():
        folder = name.split("/")[0]
        for other in used:
            where = other.split("/")[0]
            assert where == folder or where in MAY_USE[folder], f"{name} calls {other}"
    for name in graph:  # main is on top
        assert "supervisor/main.c" not in graph[name]


@pytest.mark.parametrize("folder", ["files", "supervisor"])
def test_no_file_is_long_and_no_function(folder: str) -> None:
    for path in sorted((ROOT / folder).glob("*.[ch]")):
        lines = path.read_text().splitlines()
        assert len(lines) <= 700, path
        start = 0
        for at, line in enumerate(lines):
            if line == "{":
                start = at
            elif line == "}":
                assert at - start <= 90, f"{path}:{start + 1}"
