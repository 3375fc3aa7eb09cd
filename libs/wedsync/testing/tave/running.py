"""Runs the simulator inside a test's own event loop, on a free port."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import uvicorn

from wedsync.testing.tave.app import BASE, Sandbox
from wedsync.testing.tave.server import configured

_START_SECONDS = 10.0


class _Guest(uvicorn.Server):
    """A server that leaves the process's signals to its host, and says when it listens."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = asyncio.Event()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals alone."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and say so."""
        await super().startup(sockets)
        self.listening.set()


@asynccontextmanager
async def running(sandbox: Sandbox) -> AsyncIterator[str]:
    """Serve the studio and yield the address of its API, `http://127.0.0.1:<port>/api/v2`."""
    # The protocol is named because asyncio turns off Nagle's delay (40 ms an answer) only where it is.
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listener:
        listener.bind(("127.0.0.1", 0))
        server = _Guest(configured(sandbox, port=0))
        task = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            await asyncio.wait_for(server.listening.wait(), _START_SECONDS)
            yield f"http://127.0.0.1:{listener.getsockname()[1]}{BASE}"
        finally:
            server.should_exit = True
            await task
