"""What `belljar mcp` adds to a run: a run_python_code call over the direct library call, in the same rounds, and other servers
for the same job beside it. Run it with .venv/bin/python; `--peers` installs the others from PyPI first (into .venv-clients/).

All servers are spoken to by the same few lines of raw JSON on their standard input and output. Medians and 99th percentiles in
microseconds; whatever cannot be measured here says why."""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import select
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

import belljar

TREE = pathlib.Path(__file__).resolve().parent.parent
PEERS = TREE / ".venv-clients"
CODE = "6 * 7"
PATIENCE = 60.0

# name, packages, command in the environment
INSTALLED = [
    ("mcp-run-python 0.0.22 (Pyodide)", ["mcp-run-python==0.0.22", "deno==2.9.8"], ["mcp-run-python", "stdio"]),
    (
        "SDK server over pydantic-monty 1.4.0",
        ["mcp==2.3.0", "pydantic-monty==1.4.0"],
        ["python", "-P", str(TREE / "bench/monty_server.py")],
    ),
    ("mcp-run-python-code 0.0.2 (no sandbox)", ["mcp==1.30.0", "mcp-run-python-code==0.0.2"], ["mcp-run-python-code"]),
]


class Server:
    """A server by its standard input and output, opened with `initialize`."""

    def __init__(self, command: list[str], environment: dict[str, str] | None = None) -> None:
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment
        )
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
                raise RuntimeError(f"it ended with status {self.process.wait()}: {self.process.stderr.read().decode()[-300:].strip()}")  # type: ignore[union-attr]
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

    def close(self) -> None:
        self.process.kill()
        self.process.wait()


def install(name: str, packages: list[str]) -> pathlib.Path:
    """The environment of a peer, made if it is not there."""
    place = PEERS / ("bench-" + name.split()[0].lower())
    if not (place / "done").exists():
        subprocess.run(["/usr/bin/python3", "-m", "venv", str(place)], check=True)
        subprocess.run([str(place / "bin/pip"), "install", "--quiet", "--disable-pip-version-check", *packages], check=True)
        (place / "done").touch()
    return place / "bin"


def peers(wanted: bool) -> tuple[dict[str, Callable[[], object]], list[Server]]:
    found: dict[str, Callable[[], object]] = {}
    servers = []
    for name, packages, command in INSTALLED:
        try:
            if not wanted:
                raise RuntimeError("left out: --peers installs it")
            folder = install(name, packages)
            environment = {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}"}
            environment.pop("PYTHONPATH", None)
            server = Server([str(folder / command[0]), *command[1:]], environment)
            servers.append(server)
            arguments = {"python_code": CODE} if "code 0.0.2" not in name else {"code": "print(6 * 7)"}
            tools = [tool["name"] for tool in server.ask("tools/list", {})["result"]["tools"]]  # type: ignore[index]
            tool = (
                "run_python_code"
                if "run_python_code" in tools
                else next(name for name in tools if "run" in name and "code" in name)
            )
            server.call(tool, **arguments)
            found[name] = lambda server=server, tool=tool, arguments=arguments: server.call(tool, **arguments)  # type: ignore[misc]
        except Exception as error:
            print(f"{name}: not measured: {type(error).__name__}: {str(error)[:300]}")
    return found, servers


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peers", action="store_true")
    parser.add_argument("--rounds", type=int, default=400)
    options = parser.parse_args()
    command = str(pathlib.Path(belljar.__file__).parent / "belljar")
    if not os.path.exists(command):
        command = str(TREE / "build/belljar")
    server = Server([command, "mcp"])
    session = server.call("create_session")["structuredContent"]["session"]  # type: ignore[index]
    others, servers = peers(options.peers)
    with belljar.Template() as template, belljar.Sandbox() as sandbox:
        rows: dict[str, Callable[[], object]] = {
            "library: Template.run, a fresh guest": lambda: template.run(CODE),
            "library: Template.run(...).usage": lambda: template.run(CODE).usage,
            "belljar mcp: a fresh guest": lambda: server.call(python_code=CODE),
            "library: Sandbox.run_code(...).usage": lambda: sandbox.run_code(CODE).usage,
            "belljar mcp: in a session": lambda: server.call(python_code=CODE, session=session),
            "belljar mcp: ping": lambda: server.ask("ping", {}),
            **others,
        }
        times: dict[str, list[float]] = {name: [] for name in rows}
        for _ in range(options.rounds):
            for name, run in rows.items():
                start = time.perf_counter()
                run()
                times[name].append((time.perf_counter() - start) * 1e6)
                time.sleep(0.003)  # guests are made ready meanwhile, as between the calls of an agent
    print(f"{'µs':46} {'p50':>9} {'p99':>9}")
    for name, values in times.items():
        print(f"{name:46} {statistics.median(values):9.0f} {statistics.quantiles(values, n=100)[98]:9.0f}")
    for what, ours, plain in (("added to a fresh guest", "belljar mcp: a fresh guest", "library: Template.run(...).usage"),
                              ("added in a session", "belljar mcp: in a session", "library: Sandbox.run_code(...).usage")):  # fmt: skip
        differences = [a - b for a, b in zip(times[ours], times[plain], strict=True)]
        print(f"{what:46} {statistics.median(differences):9.0f} {statistics.quantiles(differences, n=100)[98]:9.0f}")
    for one in (server, *servers):
        one.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
