"""What moved in one calendar, by delta links over a window of time that a first look fixes.

The cursor is {"link", "until"}; while a first look comes in pages it also carries "seen", so that the
last page can say what the window holds as a whole.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from services.gateway.vendors.outlook_calendar.api import GraphApi, Refused
from services.gateway.vendors.port import CursorLost, VendorGarbage
from wedsync.clock import Clock

_NEXT, _DELTA = "@odata.nextLink", "@odata.deltaLink"
SERIES = "seriesMaster"
# What a token that is no longer known is called, besides the status 410.
_LOST_CODES = ("syncstate", "resync")


@dataclass(frozen=True, slots=True, kw_only=True)
class Moves:
    """Which events changed and which are suspected gone; `present` after a complete look only."""

    changed: Sequence[str]
    missing: Sequence[str]
    present: frozenset[str] | None
    cursor: Mapping[str, Any]
    more: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Delta:
    """Asks one calendar what moved."""

    api: GraphApi
    calendar: str
    """The calendar's path."""
    clock: Clock
    past: timedelta
    future: timedelta
    page_size: int

    async def moves(self, cursor: Mapping[str, Any] | None) -> Moves:
        """Return a page of what moved since the cursor; of everything for None. Raises `CursorLost`."""
        match cursor or self._beginning():
            case {"link": str(link), "until": str(until), **rest}:
                self._check_window(until)
                return _read(await self._page(link), until, rest.get("seen"))
        raise CursorLost("the cursor is none of ours")

    def _beginning(self) -> dict[str, Any]:
        now = self.clock.now()
        start, until = (f"{moment:%Y-%m-%dT%H:%M:%SZ}" for moment in (now - self.past, now + self.future))
        bounds = urlencode({"startDateTime": start, "endDateTime": until})
        return {"link": f"{self.calendar}/calendarView/delta?{bounds}", "until": until, "seen": []}

    def _check_window(self, until: str) -> None:
        """Have everything looked at anew once the window no longer reaches far enough."""
        try:
            left = datetime.fromisoformat(until) - self.clock.now()
        except (ValueError, TypeError) as error:
            raise CursorLost("the cursor is none of ours") from error
        if left < self.future / 2:
            raise CursorLost("the window that is followed lies too far in the past")

    async def _page(self, link: str) -> Mapping[str, Any]:
        try:
            return await self.api.get(link, page_size=self.page_size)
        except Refused as refused:
            if refused.status == 410 or refused.code.lower().startswith(_LOST_CODES):
                raise CursorLost("Outlook no longer knows the delta link") from refused
            raise


def _read(page: Mapping[str, Any], until: str, seen: Any) -> Moves:
    entries, link = page.get("value"), page.get(_NEXT) or page.get(_DELTA)
    if not isinstance(entries, list) or not isinstance(link, str):
        raise VendorGarbage("a page of what moved lacks its events or its link")
    # A series is no record, but may have been one before it recurred: what takes place are its instances.
    gone = [_id(entry) for entry in entries if _is_removed(entry)]
    changed = dict.fromkeys(_id(entry) for entry in entries if not _is_removed(entry))
    more = _NEXT in page
    whole = sorted({*seen, *changed} - {*gone}) if isinstance(seen, list) else None
    return Moves(
        changed=list(changed),
        missing=gone,
        present=frozenset(whole) if whole is not None and not more else None,
        cursor={"link": link, "until": until, **({"seen": whole} if whole is not None and more else {})},
        more=more,
    )


def _is_removed(entry: Any) -> bool:
    return isinstance(entry, dict) and ("@removed" in entry or entry.get("type") == SERIES)


def _id(entry: Any) -> str:
    value = entry.get("id") if isinstance(entry, dict) else None
    if not isinstance(value, str) or not value:
        raise VendorGarbage("one of the events that moved has no id")
    return value
