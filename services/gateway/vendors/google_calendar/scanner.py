"""What moved in one calendar: page by page, and afterwards by the sync token that the last page gave.

The cursor is {"token"}, and between two pages {"page"} beside the token that began the scan or, in a
scan from the start, beside the ids `seen` so far, so that the last page can say what there is as a whole.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from services.gateway.vendors.google_calendar.api import GoogleApi, Refused
from services.gateway.vendors.google_calendar.event import is_cancelled, is_instance
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
_LOST = frozenset({400, 410})


async def scan(
    api: GoogleApi,
    calendar_id: str,
    cursor: Mapping[str, Any] | None,
    *,
    page_size: str,
    shown: Callable[[Mapping[str, Any]], VendorRecord | BadRecord],
) -> Scan:
    """Return one page of what moved since the cursor; of everything for None. Raises `CursorLost`."""
    at = dict(cursor or {})
    page = await _page(api, calendar_id, at, page_size)
    events = _events(page)
    records = [shown(event) for event in events if not is_cancelled(event)]
    further, token = page.get("nextPageToken"), page.get("nextSyncToken")
    seen = None if "token" in at else [*at.get("seen", []), *(record.record_id for record in records)]
    if seen is not None and len(seen) > MAX_EVENTS:
        raise VendorRejected(f"the calendar holds more than {MAX_EVENTS} events: link a smaller one")
    if not further and not isinstance(token, str):
        raise VendorGarbage("the last page of a list lacks its sync token")
    kept = {"token": at["token"]} if seen is None else {"seen": seen}
    return Scan(
        records=[record for record in records if isinstance(record, VendorRecord)],
        bad=[record for record in records if isinstance(record, BadRecord)],
        missing=[str(event["id"]) for event in events if is_cancelled(event)],
        present=frozenset(seen) if seen is not None and not further else None,
        cursor={**kept, "page": further} if further else {"token": token},
        more=bool(further),
    )


async def _page(api: GoogleApi, calendar_id: str, at: Mapping[str, Any], page_size: str) -> dict[str, Any]:
    # With a token everything but the place must be asked for as in the call that gave it.
    query = {"maxResults": page_size, "singleEvents": "false"}
    query |= {"syncToken": at["token"]} if "token" in at else {}
    query |= {"pageToken": at["page"]} if "page" in at else {}
    try:
        return await api.call("GET", "calendars", calendar_id, "events", query=query)
    except Refused as refused:
        if at and refused.status in _LOST:
            raise CursorLost("Google no longer knows the sync token") from refused
        raise


def _events(page: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """Return the events of a page; what differs in one instance of a series is part of the series."""
    items = page.get("items", [])
    if not isinstance(items, list) or not all(isinstance(i, dict) and i.get("id") for i in items):
        raise VendorGarbage("a list of events holds something else")
    return [event for event in items if not is_instance(event)]
