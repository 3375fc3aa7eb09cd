"""What moved in one calendar: page by page, and afterwards by the sync token that the last page gave.

A list tells of a series when it, or one of its instances, moved; what takes place is then asked for, a few
series at a time. The cursor is {"token"} and, of each series, the instances it had (`series`). Until all is
told it also holds the `page` that follows, the series still to be asked for (`todo`), and, in a scan from the
start, the ids `seen` so far, so that the last page can say what there is as a whole.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from services.gateway.vendors.google_calendar.api import GoogleApi, Refused
from services.gateway.vendors.google_calendar.event import is_cancelled, is_series, series_of
from services.gateway.vendors.port import (
    BadRecord,
    CursorLost,
    Scan,
    VendorGarbage,
    VendorRecord,
    VendorRejected,
)

# A calendar with more events is somebody's whole life, not a wedding's.
MAX_EVENTS = 20_000
# Each series is a call or more: so many are asked for before what they showed is looked at.
SERIES_A_PAGE = 10
# What is asked for at once of a series, the most that Google gives.
_INSTANCES = "2500"
_LOST = frozenset({400, 410})
_GONE = frozenset({404, 410})

Event = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scanner:
    """Asks one calendar what moved."""

    api: GoogleApi
    calendar_id: str
    page_size: str
    until: Callable[[], datetime]
    """How far ahead instances of series are followed."""
    shown: Callable[[Event], VendorRecord | BadRecord]

    async def scan(self, cursor: Mapping[str, Any] | None) -> Scan:
        """Return one page of what moved since the cursor; of everything for None. Raises `CursorLost`."""
        at = dict(cursor or {})
        return await (self._series(at) if at.get("todo") else self._listed(at))

    async def _listed(self, at: dict[str, Any]) -> Scan:
        page = await self._page(at)
        events = _events(page)
        over = _over(events)
        todo = sorted({name for event in events if (name := series_of(event))} - over)
        further, token = page.get("nextPageToken"), page.get("nextSyncToken")
        if not further and not isinstance(token, str):
            raise VendorGarbage("the last page of a list lacks its sync token")
        # A series is no record, but may have been one before it recurred.
        gone = [str(event["id"]) for event in events if is_cancelled(event) or is_series(event)]
        # Each absence is told once: they are counted.
        known = {name: sorted({*ids} - {*gone}) for name, ids in at.get("series", {}).items()}
        gone += [name for series in sorted(over & known.keys()) for name in known.pop(series)]
        after: dict[str, Any] = {name: at[name] for name in ("token", "seen") if name in at}
        after |= {"page": further} if further else {"last": token}
        # Among them are invitations to one instance of somebody else's series.
        there = [event for event in events if not is_series(event) and not is_cancelled(event)]
        return self._told({**after, "series": known, "todo": todo}, there, gone)

    async def _series(self, at: dict[str, Any]) -> Scan:
        asked, left = at["todo"][:SERIES_A_PAGE], at["todo"][SERIES_A_PAGE:]
        known, events, gone = dict(at.get("series", {})), list[Event](), list[str]()
        for name in asked:
            found = [event for event in await self._instances(name) if not is_cancelled(event)]
            taking_place = sorted(str(event["id"]) for event in found)
            gone += sorted({*known.pop(name, [])} - {*taking_place})
            events += found
            known |= {name: taking_place} if taking_place else {}
        return self._told({**at, "todo": left, "series": known}, events, gone)

    def _told(self, at: dict[str, Any], events: Sequence[Event], missing: Sequence[str]) -> Scan:
        """Return what a page told, with the cursor after it."""
        records = [self.shown(event) for event in events]
        seen = None if "token" in at else [*at.get("seen", []), *(record.record_id for record in records)]
        if seen is not None and len(seen) > MAX_EVENTS:
            raise VendorRejected(f"the calendar holds more than {MAX_EVENTS} events: link a smaller one")
        more = bool(at["todo"]) or "page" in at
        known = {"series": at["series"]} if at.get("series") else {}
        between = {name: at[name] for name in ("token", "page", "last", "todo") if at.get(name)}
        between |= {} if seen is None else {"seen": seen}
        return Scan(
            records=[record for record in records if isinstance(record, VendorRecord)],
            bad=[record for record in records if isinstance(record, BadRecord)],
            missing=missing,
            present=frozenset(seen) if seen is not None and not more else None,
            cursor={**known, **(between if more else {"token": at["last"]})},
            more=more,
        )

    async def _page(self, at: Mapping[str, Any]) -> dict[str, Any]:
        # With a token everything but the place must be asked for as in the call that gave it.
        query = {"maxResults": self.page_size, "singleEvents": "false"}
        query |= {"syncToken": at["token"]} if "token" in at else {}
        query |= {"pageToken": at["page"]} if "page" in at else {}
        try:
            return await self.api.call("GET", "calendars", self.calendar_id, "events", query=query)
        except Refused as refused:
            if at and refused.status in _LOST:
                raise CursorLost("Google no longer knows the sync token") from refused
            raise

    async def _instances(self, series_id: str) -> list[Event]:
        """Return the instances of a series, those that differ as they are; none if the series is no more."""
        found, path = list[Event](), ("calendars", self.calendar_id, "events", series_id, "instances")
        query = {"maxResults": _INSTANCES, "timeMax": f"{self.until():%Y-%m-%dT%H:%M:%SZ}"}
        while True:
            try:
                page = await self.api.call("GET", *path, query=query)
            except Refused as refused:
                if refused.status in _GONE:
                    return found
                raise
            found += _events(page)
            if len(found) > MAX_EVENTS:
                raise VendorRejected(f"a series has more than {MAX_EVENTS} instances: give it an end")
            if not page.get("nextPageToken"):
                return found
            query = {**query, "pageToken": page["nextPageToken"]}


def _over(events: Sequence[Event]) -> set[str]:
    """Return what is no series, or none any more."""
    return {str(event["id"]) for event in events if is_cancelled(event) or not is_series(event)}


def _events(page: Mapping[str, Any]) -> list[Event]:
    items = page.get("items", [])
    if not isinstance(items, list) or not all(isinstance(i, dict) and i.get("id") for i in items):
        raise VendorGarbage("a list of events holds something else")
    return items
