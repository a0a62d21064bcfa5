"""Where a library swallows a refusal and hands out something useless: it is made to fail."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Any

adapted: set[str] = set()


def on_socket() -> None:
    """Before a socket is made: an event loop makes a pair for itself before it can do anything else."""
    base_events = sys.modules.get("asyncio.base_events")
    loop = getattr(base_events, "BaseEventLoop", None)
    if "asyncio" not in adapted and loop is not None:
        adapted.add("asyncio")
        fail_without_sockets(loop)


def fail_without_sockets(loop: Any) -> None:
    """asyncio leaves out the addresses for which there is no socket, and has a server that nobody reaches if none is left."""
    create_server = loop.create_server

    async def fails_without_sockets(self: Any, protocol_factory: Any, host: Any = None, port: Any = None, **more: Any) -> Any:
        server = await create_server(self, protocol_factory, host, port, **more)
        if not server.sockets and not getattr(server, "_sockets", None):
            import socket

            try:
                socket.socket().close()
            except OSError as error:
                raise type(error)(error.errno, "%s: host %r, port %r" % (error.strerror, host, port)) from None
        return server

    fails_without_sockets.__name__, fails_without_sockets.__qualname__ = "create_server", create_server.__qualname__
    fails_without_sockets.__doc__ = create_server.__doc__
    loop.create_server = fails_without_sockets
