"""What moved in one calendar: page by page, and afterwards by the sync token that the last page gave.

A list tells of a series when it, or one of its instances, moved; what takes place is then asked for, a few
series at a time. The cursor is {"token"} and, of each series, the instances it had (`series`). Until all is
told it also holds the `page` that follows, the series still to be asked for with those of their instances
that were listed (`todo`), and, in a scan from the start, the ids `seen` so far, so that the last page can say
what there is as a whole.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from services.gateway.vendors.google_calendar.api import GoogleApi, Refused
from services.gateway.vendors.google_calendar.event import (
    instance_id,
    is_cancelled,
    is_series,
    named,
    series_of,
)
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
    shown: Callable[[str, Event], VendorRecord | BadRecord]
    """How an event is shown under an id."""

    async def scan(self, cursor: Mapping[str, Any] | None) -> Scan:
        """Return one page of what moved since the cursor; of everything for None. Raises `CursorLost`."""
        at = dict(cursor or {})
        return await (self._series(at) if at.get("todo") else self._listed(at))

    async def _listed(self, at: dict[str, Any]) -> Scan:
        page = await self._page(at)
        events = _events(page)
        over = _over(events)
        further, token = page.get("nextPageToken"), page.get("nextSyncToken")
        if not further and not isinstance(token, str):
            raise VendorGarbage("the last page of a list lacks its sync token")
        # A series is no record, but may have been one before it recurred.
        gone = [str(event["id"]) for event in events if is_cancelled(event) or is_series(event)]
        known = dict(at.get("series", {}))
        gone += [
            instance_id(series, key) for series in sorted(over & known.keys()) for key in known.pop(series)
        ]
        after: dict[str, Any] = {name: at[name] for name in ("token", "seen") if name in at}
        after |= {"page": further} if further else {"last": token}
        single = {str(e["id"]): e for e in events if not is_cancelled(e) and not series_of(e)}
        return self._told({**after, "series": known, "todo": _todo(events, over)}, single, gone)

    async def _series(self, at: dict[str, Any]) -> Scan:
        todo, known = dict(at["todo"]), dict(at.get("series", {}))
        found, gone = dict[str, Event](), list[str]()
        for series in sorted(todo)[:SERIES_A_PAGE]:
            there = await self._instances(series)
            keyed = {} if there is None else named(there)
            gone += [instance_id(series, key) for key in sorted({*known.pop(series, [])} - keyed.keys())]
            known |= {series: sorted(keyed)} if keyed else {}
            found |= {instance_id(series, key): event for key, event in keyed.items()}
            listed = todo.pop(series)
            # Of a series that is not ours to see, we may have been invited to some instances.
            found |= {} if there is not None else await self._alone(listed)
        return self._told({**at, "todo": todo, "series": known}, found, gone)

    def _told(self, at: dict[str, Any], events: Mapping[str, Event], missing: Sequence[str]) -> Scan:
        """Return what a page told, with the cursor after it."""
        records = [self.shown(record_id, event) for record_id, event in events.items()]
        seen = None if "token" in at else [*at.get("seen", []), *events]
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

    async def _instances(self, series_id: str) -> list[Event] | None:
        """Return the instances that take place, those that differ as they are; None if it is no series."""
        found, path = list[Event](), ("calendars", self.calendar_id, "events", series_id, "instances")
        query = {"maxResults": _INSTANCES, "timeMax": f"{self.until():%Y-%m-%dT%H:%M:%SZ}"}
        while True:
            try:
                page = await self.api.call("GET", *path, query=query)
            except Refused as refused:
                if refused.status in _GONE:
                    return None
                raise
            found += [event for event in _events(page) if not is_cancelled(event)]
            if len(found) > MAX_EVENTS:
                raise VendorRejected(f"a series has more than {MAX_EVENTS} instances: give it an end")
            if not page.get("nextPageToken"):
                return found
            query = {**query, "pageToken": page["nextPageToken"]}

    async def _alone(self, event_ids: Sequence[str]) -> dict[str, Event]:
        found = dict[str, Event]()
        for name in event_ids:
            try:
                found[name] = await self.api.call("GET", "calendars", self.calendar_id, "events", name)
            except Refused as refused:
                if refused.status not in _GONE:
                    raise
        return {name: event for name, event in found.items() if not is_cancelled(event)}


def _todo(events: Sequence[Event], over: set[str]) -> dict[str, list[str]]:
    """Return the series that moved, each with those of its instances that were listed."""
    moved: dict[str, list[str]] = {}
    for event in events:
        series = series_of(event)
        if series is not None and series not in over:
            moved.setdefault(series, []).extend([] if is_series(event) else [str(event["id"])])
    return moved


def _over(events: Sequence[Event]) -> set[str]:
    """Return what is no series, or none any more."""
    return {str(event["id"]) for event in events if is_cancelled(event) or not is_series(event)}


def _events(page: Mapping[str, Any]) -> list[Event]:
    items = page.get("items", [])
    if not isinstance(items, list) or not all(isinstance(i, dict) and i.get("id") for i in items):
        raise VendorGarbage("a list of events holds something else")
    return items
