"""The HTTP server inside the gateway's own event loop."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterator

import uvicorn
from starlette.applications import Starlette

from wedsync.runtime.settings import SettingsError

_DRAIN_SECONDS = 3
"""Webhooks take milliseconds; an event stream is cut after this and resumes elsewhere."""


class _Quiet(uvicorn.Server):
    """Leaves the signals to the process, which ends HTTP and gRPC in order."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture nothing."""
        yield


@contextlib.asynccontextmanager
async def serving_http(app: Starlette, *, host: str, port: int, stalled_seconds: float) -> AsyncIterator[int]:
    """Serve the application on the port (0: a free one) and yield it; drain at the end.

    A connection whose peer takes nothing for so long is given up.
    """
    listener = _listen(host, port, stalled_seconds)
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        lifespan="off",
        timeout_graceful_shutdown=_DRAIN_SECONDS,
        server_header=False,
        proxy_headers=False,  # who calls is known by signature or key, never by address
    )
    server = _Quiet(config)
    running = asyncio.create_task(server.serve(sockets=[listener]), name="http")
    try:
        yield int(listener.getsockname()[1])
    finally:
        server.should_exit = True
        await running
        listener.close()


def _listen(host: str, port: int, stalled_seconds: float) -> socket.socket:
    try:
        listener = socket.create_server((host, port), backlog=2048)
    except OSError as error:
        raise SettingsError(
            f"WEDSYNC_HTTP_PORT={port}: {host}:{port} is not to be had ({error.strerror}); take another"
        ) from error
    # Whoever closes a stream that nobody reads waits for it to be read; the kernel need not (on Linux).
    if option := getattr(socket, "TCP_USER_TIMEOUT", None):
        listener.setsockopt(socket.IPPROTO_TCP, option, int(stalled_seconds * 1000))
    return listener
