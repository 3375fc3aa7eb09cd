"""Runs the simulator inside a running event loop, on a port of this machine."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import uvicorn

from wedsync.testing.partner_api.app import App
from wedsync.testing.partner_api.sandbox import BASE, Sandbox

_STOP_SECONDS = 3


class _Quiet(uvicorn.Server):
    """Leaves the signals to the process."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture nothing."""
        yield


@asynccontextmanager
async def running(sandbox: Sandbox, *, port: int = 0) -> AsyncIterator[str]:
    """Serve the account and yield the address of its API, `http://127.0.0.1:<port>/api`."""
    listener = socket.create_server(("127.0.0.1", port), backlog=2048)
    config = uvicorn.Config(
        App(sandbox),
        log_config=None,
        access_log=False,
        lifespan="off",
        interface="asgi3",
        timeout_graceful_shutdown=_STOP_SECONDS,
        server_header=False,
    )
    server = _Quiet(config)
    serving = asyncio.create_task(server.serve(sockets=[listener]), name="partner-api")
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}{BASE}"
    finally:
        await sandbox.deliveries.aclose()
        server.should_exit = True
        await serving
        listener.close()
