"""Finds what was said in one channel since the last look, a page of its history at a time."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from services.gateway.vendors.port import (
    BadRecord,
    CursorLost,
    OutOfScope,
    Scan,
    VendorGarbage,
    VendorRecord,
)
from services.gateway.vendors.slack.api import Refused, SlackApi
from services.gateway.vendors.slack.messages import Bot, Json, is_gone, is_ts, record

_NEVER = "0.000000"
# A parked record is shown to people; the start of it is enough to recognise it.
_KEPT_RAW = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """How far a channel was read.

    `start` is where the link began: what was said before is history, not news. `seen` is the newest
    message of the last whole scan. Within a scan of several pages, `top` is the newest message of its
    first page, and `page` is Slack's name of the next.
    """

    start: str
    seen: str
    top: str | None = None
    page: str | None = None

    @classmethod
    def restore(cls, cursor: Mapping[str, Any]) -> Place:
        """Return what a cursor holds. Raises `CursorLost` if it was not made here."""
        start, seen, top, page = (cursor.get(name) for name in ("start", "seen", "top", "page"))
        paging = (top is None and page is None) or (is_ts(top) and isinstance(page, str))
        if not (is_ts(start) and is_ts(seen) and paging):
            raise CursorLost("the cursor was not made here")
        return cls(start=str(start), seen=str(seen), top=top, page=page)

    def dump(self) -> dict[str, str]:
        """Return it as a cursor."""
        held = {"start": self.start, "seen": self.seen, "top": self.top, "page": self.page}
        return {name: value for name, value in held.items() if value is not None}

    def since(self, overlap: float) -> str:
        """Return where to read from: some seconds before the newest seen, but never before the start."""
        return f"{max(Decimal(self.start), Decimal(self.seen) - Decimal(str(overlap))):.6f}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scanner:
    """Scans one channel."""

    api: SlackApi
    channel: str
    bot: Bot
    page_size: int
    overlap: float

    async def scan(self, cursor: Mapping[str, Any] | None) -> Scan:
        """Return what was said since the cursor; the first scan only notes where the channel stands."""
        if cursor is None:
            latest = await self.api.history(self.channel, limit="1")
            now = _newest(latest.messages, _NEVER)
            return Scan(cursor=Place(start=now, seen=now).dump())
        return await self._page(Place.restore(cursor))

    async def _page(self, place: Place) -> Scan:
        paging = {"cursor": place.page} if place.page else {}
        query = {"oldest": place.since(self.overlap), "limit": str(self.page_size), **paging}
        try:
            page = await self.api.history(self.channel, **query)
        except Refused as error:
            if error.error != "invalid_cursor":
                raise
            # Slack forgets a page after a while: the next scan begins again where this one began.
            return Scan(cursor=Place(start=place.start, seen=place.seen).dump())
        top = place.top or _newest(page.messages, place.seen)
        found, bad = _sorted_out(page.messages, self.bot)
        if page.cursor is None:
            return Scan(records=found, bad=bad, cursor=Place(start=place.start, seen=top).dump())
        after = Place(start=place.start, seen=place.seen, top=top, page=page.cursor)
        return Scan(records=found, bad=bad, cursor=after.dump(), more=True)


def _newest(messages: Sequence[Json], known: str) -> str:
    told = [str(message["ts"]) for message in messages if is_ts(message.get("ts"))]
    return max([known, *told], key=Decimal)


def _sorted_out(messages: Sequence[Json], bot: Bot) -> tuple[list[VendorRecord], list[BadRecord]]:
    """Return the records in the order they were said; what makes no sense is parked alone."""
    found, bad = [], []
    for message in reversed(messages):
        try:
            if not is_gone(message):
                found.append(record(message, bot))
        except OutOfScope:
            continue
        except VendorGarbage as error:
            raw = json.dumps(message).encode()[:_KEPT_RAW]
            bad.append(BadRecord(record_id=str(message.get("ts")), reason=str(error), raw=raw))
    return found, bad
