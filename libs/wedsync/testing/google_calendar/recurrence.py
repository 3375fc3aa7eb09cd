"""The instances of a series: the same local time on other days, until its rule ends or the years do. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, time
from itertools import islice
from typing import Any
from zoneinfo import ZoneInfo

from dateutil.rrule import rrulestr

from wedsync.testing.google_calendar.refusal import invalid
from wedsync.testing.google_calendar.shape import Event

_MOST = 2_000


def instances(series: Event) -> Iterator[Event]:
    """Yield the instances as the series itself says them, in order."""
    common = {name: value for name, value in series.items() if name != "recurrence"}
    start = _local(series["start"])
    lasts = _local(series["end"]) - start
    for at in _starts(series["recurrence"], start):
        own, mark = _moment(at, series["start"]), f"{at:%Y%m%d}"
        mark = mark if at.tzinfo is None else f"{at.astimezone(UTC):%Y%m%dT%H%M%SZ}"
        named = {"id": f"{series['id']}_{mark}", "recurringEventId": series["id"], "originalStartTime": own}
        yield {**common, **named, "start": own, "end": _moment(at + lasts, series["end"])}


def begins(event: Event) -> datetime:
    """Return the moment at which an event begins; a day's is where nobody lives."""
    local = _local(event["start"])
    return local if local.tzinfo else local.replace(tzinfo=UTC)


def is_original(event: Event, asked: str) -> bool:
    """Say whether its series has an instance at that time, whenever it takes place."""
    original = event["originalStartTime"]
    if "date" in original:
        return bool(original["date"] == asked)
    try:
        at = datetime.fromisoformat(asked)
    except ValueError:
        raise invalid("Invalid value for originalStart.") from None
    return at.tzinfo is not None and at == _local(original)


def check(rules: Any, start: Event) -> None:
    """Return if a recurrence makes sense. Raises `Refused`."""
    if not isinstance(rules, list) or not all(isinstance(rule, str) for rule in rules):
        raise invalid("Recurrence rules must be a list of text.")
    next(_starts(rules, _local(start)), None)


def _starts(rules: list[str], start: datetime) -> Iterator[datetime]:
    try:
        found = rrulestr("\n".join(rules), dtstart=start, forceset=True)
        yield from islice(found, _MOST)
    except ValueError as error:
        raise invalid(f"Invalid recurrence rule: {error}") from error


def _local(moment: Event) -> datetime:
    """Return a time by the clock of its place, or a day's midnight, which belongs to no place."""
    if "date" in moment:
        return datetime.combine(date.fromisoformat(moment["date"]), time())
    return datetime.fromisoformat(moment["dateTime"]).astimezone(ZoneInfo(moment["timeZone"]))


def _moment(at: datetime, like: Event) -> Event:
    if "date" in like:
        return {"date": at.date().isoformat()}
    zone = like["timeZone"]
    return {"dateTime": at.astimezone(ZoneInfo(zone)).isoformat(), "timeZone": zone}
