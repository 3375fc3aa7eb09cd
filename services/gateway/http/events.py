"""Server-sent events: a wedding's log, live, resumable by `Last-Event-ID` = sequence."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing

from google.protobuf.json_format import MessageToJson
from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.requests import Request

from services.gateway.http.problems import Problem
from wedsync.client import SyncClient
from wedsync.errors import Overloaded, WedSyncError
from wedsync.runtime.requests import require_id

_PING_SECONDS = 15
_DIGITS = 18
"""A sequence is a 64 bit number."""
_SEND_SECONDS = 30.0
"""A reader that takes nothing for this long is let go; it resumes where it was."""


class EventStream:
    """`GET /api/weddings/{wedding_id}/events`."""

    def __init__(self, *, sync: SyncClient, max_at_once: int) -> None:
        self._sync, self._free = sync, max_at_once

    async def stream(self, request: Request) -> EventSourceResponse:
        """Stream the log; refusals are answered before the stream begins."""
        wedding_id = require_id("wedding_id", request.path_params["wedding_id"])
        after, key = _last_seen(request), request.headers.get("authorization", "").removeprefix("Bearer ")
        if self._free <= 0:
            raise Overloaded("Too many event streams at once.", retry_after=5.0)
        await self._sync.get_wedding(wedding_id, api_key=key or "none")
        events = self._events(wedding_id, after, key)
        return EventSourceResponse(events, ping=_PING_SECONDS, send_timeout=_SEND_SECONDS)

    async def _events(self, wedding_id: str, after: int | None, key: str) -> AsyncIterator[ServerSentEvent]:
        self._free -= 1
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
        finally:
            self._free += 1


def _last_seen(request: Request) -> int | None:
    given = request.headers.get("last-event-id") or request.query_params.get("after")
    if given is None:
        return None
    if not (given.isascii() and given.isdecimal() and len(given) <= _DIGITS):
        raise Problem(400, "WRONG_TYPE", "Last-Event-ID must be a sequence: a whole number from 0 on.")
    return int(given)
