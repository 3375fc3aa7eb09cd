"""Moments between iCalendar (DATE, UTC, TZID, floating, DURATION) and canonical zoned times.

An all-day event's canonical times are midnights of the wedding's zone, the end exclusive: an event
on 12 June alone starts at 2027-06-12T00:00:00 and ends at 2027-06-13T00:00:00.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta

from services.gateway.vendors.apple_calendar import zones
from services.gateway.vendors.apple_calendar.ics import Component, IcsError, Line, prop
from wedsync.model.moments import instant

_CANONICAL = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)\[([A-Za-z0-9_+/-]{1,64})\]")
_DATE = re.compile(r"\d{8}")
_DATE_TIME = re.compile(r"(\d{8}T\d{6})(Z?)")
_DURATION = re.compile(
    r"\+?P(?:(\d{1,4})W)?(?:(\d{1,5})D)?(?:T(?:(\d{1,6})H)?(?:(\d{1,7})M)?(?:(\d{1,8})S)?)?"
)
_DAY = timedelta(days=1)


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
    def instant(self) -> datetime:
        """The moment in UTC."""
        return instant(self.local, self.zone)

    def at(self, zone: str) -> Moment:
        """Return the same moment in another zone."""
        if zone == self.zone:
            return self
        return Moment(self.instant.astimezone(zones.zone(zone)).replace(tzinfo=None), zone)

    def plus(self, nominal: timedelta, exact: timedelta) -> Moment:
        """Move on by days of the calendar, then by exact time (RFC 5545 section 3.3.6)."""
        days_on = Moment(self.local + nominal, self.zone)
        if not exact:
            return days_on
        moved = (days_on.instant + exact).astimezone(zones.zone(self.zone))
        return Moment(moved.replace(tzinfo=None), self.zone)


@dataclass(frozen=True, slots=True)
class TimeContext:
    """What a calendar object's times are read with: its own zone definitions and the wedding's zone."""

    wedding_zone: str
    definitions: Mapping[str, Component]


def moment(canonical: str) -> Moment:
    """Read a canonical zoned time. Raises `IcsError`."""
    found = _CANONICAL.fullmatch(canonical)
    if not found:
        raise IcsError(f"{canonical[:80]!r} is no zoned time")
    zones.zone(found[2])
    try:
        return Moment(datetime.fromisoformat(found[1]), found[2])
    except ValueError as error:
        raise IcsError(f"{canonical[:80]!r} is no zoned time") from error


def read(line: Line, context: TimeContext) -> tuple[Moment, bool]:
    """Return the moment a DTSTART or DTEND names, and whether it is a whole day."""
    value = line.value.strip()
    try:
        if _DATE.fullmatch(value):
            return Moment(datetime.combine(date.fromisoformat(value), time()), context.wedding_zone), True
        found = _DATE_TIME.fullmatch(value)
        if not found:
            raise IcsError(f"{line.name} {value[:40]!r} is no date or time")
        return _read_time(datetime.fromisoformat(found[1]), bool(found[2]), line, context), False
    except (ValueError, OverflowError) as error:
        raise IcsError(f"{line.name} {value[:40]!r}: {error}") from error


def read_end(event: Component, start: Moment, context: TimeContext) -> Moment | None:
    """Return when an event ends by its DTEND or DURATION, None where it has neither."""
    if line := event.line("DTEND"):
        return read(line, context)[0]
    duration = event.line("DURATION")
    if duration is None:
        return None
    found = _DURATION.fullmatch(duration.value.strip())
    if not found or not any(found.groups()):
        raise IcsError(f"DURATION {duration.value[:40]!r} cannot be read")
    weeks, days, hours, minutes, seconds = (int(part or 0) for part in found.groups())
    try:
        exact = timedelta(hours=hours, minutes=minutes, seconds=seconds)
        return start.plus(timedelta(weeks=weeks, days=days), exact)
    except OverflowError as error:
        raise IcsError(f"DURATION {duration.value[:40]!r} leads out of the calendar") from error


def start_line(start: Moment, *, all_day: bool) -> Line:
    """Return the DTSTART of an event."""
    return _date_line("DTSTART", start.local.date()) if all_day else _time_line("DTSTART", start)


def end_line(start: Moment, end: Moment | None, *, all_day: bool) -> Line | None:
    """Return the DTEND of an event, None where it has no end later than its start.

    iCalendar knows no DTEND at or before DTSTART, and whole days only for an all-day event.
    """
    if end is None:
        return None
    if not all_day:
        return _time_line("DTEND", end) if end.instant > start.instant else None
    last = end.local.date() if end.local.time() == time() else end.local.date() + _DAY
    return _date_line("DTEND", max(last, start.local.date() + _DAY))


def _read_time(local: datetime, utc: bool, line: Line, context: TimeContext) -> Moment:
    tzid = line.params.get("TZID")
    if utc:
        return Moment(local, "UTC")
    if tzid is None:
        return Moment(local, context.wedding_zone)
    definition = context.definitions.get(tzid)
    if name := zones.iana_name(tzid, definition):
        return Moment(local, name)
    if definition is None:
        raise IcsError(f"the time zone {tzid[:60]!r} is unknown and not defined in the event")
    return Moment(zones.by_definition(local, definition, context.wedding_zone), context.wedding_zone)


def _date_line(name: str, day: date) -> Line:
    return prop(name, day.isoformat().replace("-", ""), VALUE="DATE")


def _time_line(name: str, at: Moment) -> Line:
    text = at.local.isoformat(timespec="seconds").replace("-", "").replace(":", "")
    return prop(name, f"{text}Z") if at.zone == "UTC" else prop(name, text, TZID=at.zone)
