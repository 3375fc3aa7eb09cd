"""Server-sent events: a wedding's log, live, resumable by `Last-Event-ID` = sequence.

Nothing is queued for a reader: while it takes nothing, nothing more is asked of the sync service for it,
and after a while it is let go.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing

from google.protobuf.json_format import MessageToJson
from sse_starlette import EventSourceResponse, ServerSentEvent
from sse_starlette.sse import SendTimeoutError
from starlette.requests import Request
from starlette.types import Receive, Scope, Send

from services.gateway.http.problems import Problem
from wedsync.client import SyncClient
from wedsync.errors import Overloaded, WedSyncError
from wedsync.runtime.requests import require_id

_log = logging.getLogger(__name__)

_PING_SECONDS = 15
_DIGITS = 18
"""A sequence is a 64 bit number."""


class EventStream:
    """`GET /api/weddings/{wedding_id}/events`."""

    def __init__(self, *, sync: SyncClient, max_at_once: int, slow_reader_seconds: float = 30.0) -> None:
        self._sync, self._free, self._slow_reader_seconds = sync, max_at_once, slow_reader_seconds

    async def stream(self, request: Request) -> EventSourceResponse:
        """Stream the log; refusals are answered before the stream begins."""
        wedding_id = require_id("wedding_id", request.path_params["wedding_id"])
        after, key = _last_seen(request), request.headers.get("authorization", "").removeprefix("Bearer ")
        self._require_room()
        await self._sync.get_wedding(wedding_id, api_key=key or "none")
        self._require_room()
        self._free -= 1
        return _Stream(self._events(wedding_id, after, key), self._slow_reader_seconds, self._ended)

    def _require_room(self) -> None:
        if self._free <= 0:
            raise Overloaded("Too many event streams at once.", retry_after=5.0)

    def _ended(self) -> None:
        self._free += 1

    async def _events(self, wedding_id: str, after: int | None, key: str) -> AsyncIterator[ServerSentEvent]:
        try:
            async with aclosing(self._sync.watch_wedding(wedding_id, after, api_key=key)) as messages:
                async for message in messages:
                    if message.HasField("change"):
                        data = MessageToJson(message.change, indent=None)
                        yield ServerSentEvent(data, event="change", id=str(message.sequence))
                    else:
                        yield ServerSentEvent("{}", event="start", id=str(message.sequence))
        except WedSyncError as error:
            yield ServerSentEvent(error.reason, event="end")


class _Stream(EventSourceResponse):
    """One reader's stream; says when it has ended, however it did."""

    def __init__(
        self, events: AsyncIterator[ServerSentEvent], slow_reader_seconds: float, ended: Callable[[], None]
    ) -> None:
        super().__init__(events, ping=_PING_SECONDS, send_timeout=slow_reader_seconds)
        self._ended = ended

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        except SendTimeoutError:
            _log.info("an event stream ends: its reader takes nothing; it may resume where it was")
        finally:
            self._ended()


def _last_seen(request: Request) -> int | None:
    given = request.headers.get("last-event-id") or request.query_params.get("after")
    if given is None:
        return None
    if not (given.isascii() and given.isdecimal() and len(given) <= _DIGITS):
        raise Problem(400, "WRONG_TYPE", "Last-Event-ID must be a sequence: a whole number from 0 on.")
    return int(given)
