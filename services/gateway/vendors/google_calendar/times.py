"""Moments between Google's (`dateTime` with an offset and a zone, or `date`) and canonical zoned times. Pure.

An all-day event's canonical times are midnights of the wedding's zone, the end exclusive: an event on
12 June alone starts at 2027-06-12T00:00:00 and ends at 2027-06-13T00:00:00.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

_CANONICAL = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)\[([A-Za-z0-9_+/-]{1,64})\]")
_DAY = timedelta(days=1)


class BadTime(Exception):
    """A time makes no sense."""


@dataclass(frozen=True, slots=True)
class Moment:
    """A local time in an IANA zone."""

    local: datetime
    zone: str

    @property
    def canonical(self) -> str:
        """The canonical text."""
        return f"{self.local.isoformat(timespec='seconds')}[{self.zone}]"

    @property
    def aware(self) -> datetime:
        """The moment with its offset."""
        return self.local.replace(tzinfo=zone(self.zone))


def zone(name: str) -> ZoneInfo:
    """Return the IANA zone of that name. Raises `BadTime`."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise BadTime(f"{name[:60]!r} is no time zone") from error


def moment(canonical: str) -> Moment:
    """Read a canonical zoned time. Raises `BadTime`."""
    found = _CANONICAL.fullmatch(canonical)
    if not found:
        raise BadTime(f"{canonical[:80]!r} is no zoned time")
    zone(found[2])
    try:
        return Moment(datetime.fromisoformat(found[1]), found[2])
    except ValueError as error:
        raise BadTime(f"{canonical[:80]!r} is no zoned time") from error


def read(given: Any, wedding_zone: str) -> tuple[Moment, bool]:
    """Return the moment that a start or an end names, and whether it is a whole day. Raises `BadTime`.

    The offset says when, and is the calendar's or the caller's; the zone says whose clock people read.
    """
    if not isinstance(given, Mapping):
        raise BadTime("it has no start or no end")
    try:
        if given.get("date"):
            return Moment(datetime.combine(date.fromisoformat(given["date"]), time()), wedding_zone), True
        at, named = datetime.fromisoformat(given["dateTime"]), given.get("timeZone") or wedding_zone
        if at.tzinfo is not None:
            at = at.astimezone(zone(named)).replace(tzinfo=None)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise BadTime(f"its start or end cannot be read ({error})") from error
    return Moment(at.replace(microsecond=0), named), False


def start_of(start: Moment, *, all_day: bool) -> dict[str, str | None]:
    """Return the start to write; what is None takes away what another form had there."""
    return _day(start.local.date()) if all_day else _time(start)


def end_of(start: Moment, end: Moment | None, *, all_day: bool) -> dict[str, str | None]:
    """Return the end to write: Google wants one, not before the start, and of whole days at least one."""
    if not all_day:
        later = end is not None and end.aware.astimezone(UTC) > start.aware.astimezone(UTC)
        return _time(end if end is not None and later else start)
    day = start.local.date()
    if end is None:
        return _day(day + _DAY)
    last = end.local.date() if end.local.time() == time() else end.local.date() + _DAY
    return _day(max(last, day + _DAY))


def _day(day: date) -> dict[str, str | None]:
    return {"date": day.isoformat(), "dateTime": None, "timeZone": None}


def _time(at: Moment) -> dict[str, str | None]:
    return {"date": None, "dateTime": at.aware.isoformat(timespec="seconds"), "timeZone": at.zone}
