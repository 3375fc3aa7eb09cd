"""Runs the simulator inside a running event loop, on a port of this machine."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from wedsync.testing.google_calendar.app import create_app
from wedsync.testing.google_calendar.sandbox import BASE, Sandbox

_STOP_SECONDS = 3.0


@asynccontextmanager
async def running(sandbox: Sandbox, *, port: int = 0) -> AsyncIterator[str]:
    """Serve the account and yield the address of its API, `http://127.0.0.1:<port>/calendar/v3`."""
    runner = web.AppRunner(create_app(sandbox), access_log=None, shutdown_timeout=_STOP_SECONDS)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", port).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}{BASE}"
    finally:
        await runner.cleanup()
