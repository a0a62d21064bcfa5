"""What `belljar mcp` adds to a run: a run_python_code call over the direct library call, and other servers for the same job beside it.

All servers are spoken to by the same few lines of raw JSON on their standard input and output."""

from __future__ import annotations

import contextlib
import json
import os
import re
import select
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable

from frame import HERE, TREE, Bench, Section, Side, reason_of
from parts import environment

import belljar

CODE = "6 * 7"
PATIENCE = 60.0
STATE = "host sleeping 3 ms"  # guests are made ready meanwhile, as between the calls of an agent

# name, packages, command in the environment, arguments of the call
PEERS: list[tuple[str, list[str], list[str], dict[str, object]]] = [
    ("mcp-run-python 0.0.22 (Pyodide in Deno)", ["mcp-run-python==0.0.22", "deno==2.9.8"], ["mcp-run-python", "stdio"], {"python_code": CODE}),
    ("SDK server over pydantic-monty 1.4.0", ["mcp==2.3.0", "pydantic-monty==1.4.0"], ["python", "-P", str(HERE / "monty_server.py")],
     {"python_code": CODE}),
    ("mcp-run-python-code 0.0.2 (no sandbox)", ["mcp==1.30.0", "mcp-run-python-code==0.0.2"], ["mcp-run-python-code"],
     {"code": "print(6 * 7)"}),
]  # fmt: skip


class Server(contextlib.AbstractContextManager["Server"]):
    """A server by its standard input and output, opened with `initialize`."""

    def __init__(self, command: list[str], environment: dict[str, str] | None = None) -> None:
        self.log = tempfile.TemporaryFile()
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log, env=environment)
        self.count = 0
        start = time.perf_counter()
        self.ask(
            "initialize", {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "bench", "version": "1"}}
        )
        self.seconds = time.perf_counter() - start
        self.send({"jsonrpc": "2.0", "method": "notifications/initialized"})

    def send(self, message: dict[str, object]) -> None:
        assert self.process.stdin
        self.process.stdin.write(json.dumps(message).encode() + b"\n")
        self.process.stdin.flush()

    def ask(self, method: str, params: dict[str, object]) -> dict[str, object]:
        self.count += 1
        self.send({"jsonrpc": "2.0", "id": self.count, "method": method, "params": params})
        assert self.process.stdout
        while True:
            if self.count == 1 and not select.select([self.process.stdout], [], [], PATIENCE)[0]:
                raise RuntimeError("it does not answer")
            line = self.process.stdout.readline()
            if not line:
                status = self.process.wait()
                self.log.seek(0)
                said = re.sub(r"\x1b\[[0-9;]*\w", "", self.log.read().decode(errors="replace"))
                words = re.findall(r"\berror: *(.{1,160})", said)[:1] or said.splitlines()[-1:]
                raise RuntimeError(f"it ended with status {status}: {' '.join(words)[:300]}")
            try:
                answer = json.loads(line)
            except ValueError:
                continue  # what one of the others prints beside
            if type(answer) is dict and answer.get("id") == self.count:
                return dict(answer)

    def call(self, tool: str = "run_python_code", **arguments: object) -> dict[str, object]:
        answer = self.ask("tools/call", {"name": tool, "arguments": arguments})
        assert "result" in answer and not answer["result"].get("isError"), str(answer)[:500]  # type: ignore[attr-defined]
        result: dict[str, object] = dict(answer["result"])  # type: ignore[call-overload]
        return result

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        self.log.close()


def peer(packages: list[str], words: list[str], arguments: dict[str, object], stack: contextlib.ExitStack) -> Callable[[], object]:
    """Starts another's server: gives its call."""
    folder = environment("mcp-" + words[0] if words[0] != "python" else "mcp-monty", packages)
    clean = {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}"}
    clean.pop("PYTHONPATH", None)
    server = stack.enter_context(Server([str(folder / words[0]), *words[1:]], clean))
    tools = [tool["name"] for tool in server.ask("tools/list", {})["result"]["tools"]]  # type: ignore[index]
    tool = "run_python_code" if "run_python_code" in tools else next(name for name in tools if "run" in name and "code" in name)
    server.call(tool, **arguments)
    return lambda: server.call(tool, **arguments)


def mcp(bench: Bench) -> None:
    """`6 * 7` by a call of `run_python_code`, in a fresh guest and in a session, against the same by the library, its exact usage read as the
    server does; and other servers. Each has its turn after three milliseconds of sleep."""
    command = str(TREE / "build/belljar")
    installed = os.path.join(os.path.dirname(belljar.__file__), "belljar")
    with contextlib.ExitStack() as stack:
        template, sandbox = stack.enter_context(belljar.Template()), stack.enter_context(belljar.Sandbox())
        server = stack.enter_context(Server([installed if os.path.exists(installed) else command, "mcp"]))
        session = server.call("create_session")["structuredContent"]["session"]  # type: ignore[index]

        def side(name: str, do: Callable[[], object], kind: str = "baseline") -> Side:
            return Side(name, do, lambda: time.sleep(0.003), turns=4, kind=kind)

        fresh = side("belljar mcp, a fresh guest", lambda: server.call(python_code=CODE))
        library = side("Template.run(...).usage", lambda: template.run(CODE).usage)
        used = side("belljar mcp, in a session", lambda: server.call(python_code=CODE, session=session))
        direct = side("Sandbox.run_code(...).usage", lambda: sandbox.run_code(CODE).usage)
        ping = side("a ping of belljar mcp", lambda: server.ask("ping", {}), "floor")
        others = []
        for name, packages, words, arguments in PEERS:
            other = side(name, lambda: None, "peer")
            try:
                other.do = peer(packages, words, arguments, stack)
            except Exception as error:  # another's installer, another's program
                other.reason = reason_of(error)
            others.append(other)
        bench.alternate([fresh, library, used, direct, ping, *others], rounds=60, seconds=30)
        bench.row("a call of a fresh guest by MCP", fresh, library, state=STATE)
        bench.row("a call of a session by MCP", used, direct, state=STATE)
        for what, ours, plain in (("added to a fresh guest", fresh, library), ("added to a session", used, direct)):
            added = [statistics.median(a) - statistics.median(b) for a, b in zip(ours.rounds, plain.rounds, strict=True) if a and b]
            bench.value(f"{what} by MCP", statistics.median(added), "s", state=STATE, spread=added)
        for floor in (ping, *others):
            bench.row("a call of a fresh guest by MCP", fresh, floor, state=STATE, at_least=floor.kind == "peer")


SECTIONS = [Section("mcp", "The MCP server", mcp)]
