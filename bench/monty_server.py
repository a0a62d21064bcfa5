"""A peer for bench/mcp.py: the official SDK's server over Monty, a Python subset in Rust with a pool of workers."""

from __future__ import annotations

from mcp.server.mcpserver import MCPServer
from pydantic_monty import Monty

server = MCPServer("monty")
pool = Monty(min_processes=2).__enter__()


@server.tool()
def run_python_code(python_code: str) -> str:
    """Runs code in a fresh session."""
    with pool.checkout() as session:
        return repr(session.feed_run(python_code))


server.run("stdio")
