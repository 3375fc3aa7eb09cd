"""What an event may look like, and what Google makes of it without a word. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from wedsync.testing.google_calendar.refusal import invalid

Event = dict[str, Any]

_ID = re.compile(r"[a-v0-9]{5,1024}")
_STATUSES = frozenset({"confirmed", "tentative", "cancelled"})
_TEXTS = ("summary", "description", "location")
# Of a cancelled event nothing else is shown; an exception still says which instance it is.
_OF_CANCELLED = ("kind", "etag", "id", "status", "recurringEventId", "originalStartTime")
# What callers may send and nobody but the server decides.
SERVERS = frozenset(
    {
        "kind",
        "etag",
        "id",
        "created",
        "updated",
        "sequence",
        "iCalUID",
        "organizer",
        "creator",
        "htmlLink",
        "recurringEventId",
        "originalStartTime",
    }
)


def checked_id(given: Any) -> str:
    """Return an id that a caller chose: lower-case base32hex, unlike what most encoders write."""
    if not isinstance(given, str) or not _ID.fullmatch(given):
        raise invalid("Invalid resource id value.")
    return given


def normal(event: Mapping[str, Any], zone: str) -> Event:
    """Return the event as it is kept; times lose their seconds and are shown with the calendar's offset."""
    kept = {name: value for name, value in event.items() if value is not None and value != ""}
    _check_texts(kept)
    start, end = (_moment(kept.get(name), name, zone) for name in ("start", "end"))
    if ("date" in start) != ("date" in end):
        raise invalid("The start and end times must either both be date or both be dateTime.")
    if _order(end) < _order(start):
        raise invalid("The specified time range is empty.")
    if kept.get("recurrence") and "date" not in start and "timeZone" not in start:
        raise invalid("Missing time zone definition for start time.")
    return {"status": "confirmed", **kept, "start": start, "end": end}


def merged(event: Mapping[str, Any], patch: Mapping[str, Any]) -> Event:
    """Return the event with a patch: what is null goes, objects merge, everything else is replaced."""
    result = dict(event)
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        elif isinstance(value, dict):
            before = result.get(name)
            result[name] = merged(before if isinstance(before, dict) else {}, value)
        else:
            result[name] = value
    return result


def shown(event: Event) -> Event:
    """Return the event as callers see it; of a cancelled one hardly more than that."""
    if event["status"] != "cancelled":
        return event
    return {name: event[name] for name in _OF_CANCELLED if name in event}


def _check_texts(event: Mapping[str, Any]) -> None:
    if not all(isinstance(event.get(name, ""), str) for name in _TEXTS):
        raise invalid("Text fields must hold text.")
    if event.get("status", "confirmed") not in _STATUSES:
        raise invalid("Invalid value for status.")
    extended = event.get("extendedProperties", {})
    for properties in extended.values() if isinstance(extended, dict) else [None]:
        if not isinstance(properties, dict) or not all(isinstance(v, str) for v in properties.values()):
            raise invalid("Extended properties must be text by name.")


def _moment(given: Any, name: str, zone: str) -> Event:
    if not isinstance(given, dict) or len({"date", "dateTime"} & given.keys()) != 1:
        raise invalid(f"Missing or ambiguous {name} time.")
    try:
        if "date" in given:
            return {"date": date.fromisoformat(given["date"]).isoformat()}
        return _time(datetime.fromisoformat(given["dateTime"]), given.get("timeZone"), zone)
    except (TypeError, ValueError, KeyError, OSError) as error:
        raise invalid(f"Invalid value for {name}: {error}") from None


def _time(at: datetime, named: str | None, zone: str) -> Event:
    own = ZoneInfo(named) if named else None
    if at.tzinfo is None:
        if own is None:
            raise ValueError("it has neither offset nor time zone")
        at = at.replace(tzinfo=own)
    at = at.replace(second=0, microsecond=0).astimezone(ZoneInfo(zone))
    return {"dateTime": at.isoformat(), "timeZone": named or zone}


def _order(moment: Event) -> float:
    text = moment.get("dateTime") or f"{moment['date']}T00:00:00+00:00"
    return datetime.fromisoformat(text).timestamp()
