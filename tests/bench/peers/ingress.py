"""The HTTP door of every peer: uvicorn as in the gateway, without a framework on top of it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, cast

import orjson
from starlette.applications import Starlette

from services.gateway.http.server import serving_http
from tests.bench.peers.settings import Settings
from tests.bench.peers.work import Edit, believed, read

Keep = Callable[[Sequence[Edit]], Awaitable[None]]
"""Makes some webhooks safe, in one transaction; returns once they are."""

_MOST_TOGETHER = 64
_STALLED_SECONDS = 30.0


class Gathered:
    """Keeps together what comes while others are being kept: as many at a time as are under way."""

    def __init__(self, keep: Keep, *, at_once: int = 2) -> None:
        self._keep, self._free = keep, at_once
        self._waiting: list[tuple[Edit, asyncio.Future[None]]] = []
        self._running: set[asyncio.Task[None]] = set()

    async def take(self, edit: Edit) -> None:
        """Return once this one is safe."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((edit, done))
        if self._free:
            self._free -= 1
            task = asyncio.create_task(self._work())
            self._running.add(task)
            task.add_done_callback(self._running.discard)
        await done

    async def _work(self) -> None:
        try:
            while self._waiting:
                batch, self._waiting = self._waiting[:_MOST_TOGETHER], self._waiting[_MOST_TOGETHER:]
                await self._kept(batch)
        finally:
            self._free += 1

    async def _kept(self, batch: Sequence[tuple[Edit, asyncio.Future[None]]]) -> None:
        try:
            await self._keep([edit for edit, _ in batch])
        except Exception as error:  # noqa: BLE001  # whoever waits is told, whatever it was
            for _, done in batch:
                done.set_exception(error)
        else:
            for _, done in batch:
                done.set_result(None)


class Door:
    """The ASGI application: 401 for what cannot be believed, 200 for what is safe."""

    def __init__(self, secret: bytes, take: Callable[[Edit], Awaitable[None]]) -> None:
        self._secret, self._take = secret, take

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Take one webhook."""
        body = await _body(receive)
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        if not believed(self._secret, headers, body, time.time()):
            await _answer(send, 401, b"{}")
            return
        edit = read(headers["webhook-id"], body)
        await self._take(edit)
        await _answer(send, 200, orjson.dumps({"webhook_id": edit.webhook_id}))


async def _answer(send: Any, status: int, body: bytes) -> None:
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _body(receive: Any) -> bytes:
    body, more = b"", True
    while more:
        message = await receive()
        body, more = body + message.get("body", b""), message.get("more_body", False)
    return body


async def serve(settings: Settings, keep: Keep) -> None:
    """Serve until the process is ended."""
    door = Door(settings.secret, Gathered(keep).take)
    app = cast("Starlette", door)  # any ASGI application does
    async with serving_http(app, host="127.0.0.1", port=settings.port, stalled_seconds=_STALLED_SECONDS):
        await asyncio.Event().wait()
