"""Moments between Graph's dateTimeTimeZone and canonical zoned times. Pure.

An all-day event's canonical times are midnights of the wedding's zone, the end exclusive: an event
on 12 June alone starts at 2027-06-12T00:00:00 and ends at 2027-06-13T00:00:00.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from services.gateway.vendors.outlook_calendar import zones

_CANONICAL = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)\[([A-Za-z0-9_+/-]{1,64})\]")
# Seven digits of a fraction, which no clock of ours has; and no offset, the zone stands beside.
_DATE_TIME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.\d{1,7})?Z?")
_DAY = timedelta(days=1)


class EventError(ValueError):
    """An event says, or is to say, what cannot be understood."""


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
        """The moment in UTC. Raises `EventError` at the ends of the calendar."""
        try:
            return self.local.replace(tzinfo=ZoneInfo(self.zone)).astimezone(UTC)
        except OverflowError as error:
            raise EventError(f"{self.canonical} leads out of the calendar") from error

    def at(self, zone: str) -> Moment:
        """Return the same moment in another zone."""
        return Moment(self.instant.astimezone(ZoneInfo(zone)).replace(tzinfo=None), zone)

    @property
    def midnight(self) -> Moment:
        """The beginning of its day."""
        return Moment(datetime.combine(self.local.date(), time()), self.zone)

    def same(self, other: Moment, *, all_day: bool) -> bool:
        """Say whether an event that is at one of them is at the other too."""
        if all_day:
            return self.local.date() == other.local.date()
        return self.instant == other.instant


def moment(canonical: Any) -> Moment:
    """Read a canonical zoned time. Raises `EventError`."""
    found = _CANONICAL.fullmatch(canonical) if isinstance(canonical, str) else None
    if found is None or not zones.is_zone(found[2]):
        raise EventError(f"{str(canonical)[:80]!r} is no zoned time")
    return Moment(_local(found[1]), found[2])


def span(start: Moment, end: Moment | None, *, all_day: bool) -> tuple[Moment, Moment]:
    """Return what Outlook holds of a beginning and an end: it knows no end before the beginning, nor none.

    An all-day event has whole days, one at least.
    """
    if not all_day:
        return start, end if end is not None and end.instant > start.instant else start
    first = start.midnight
    last = end.midnight if end is not None else first
    if end is not None and end.local > last.local:
        last = Moment(last.local + _DAY, last.zone)
    # Both midnights must be of one zone.
    return first, Moment(max(last.local, first.local + _DAY), first.zone)


def written(at: Moment, *, all_day: bool) -> dict[str, str]:
    """Return a moment as Graph takes it; in UTC where Windows does not know the zone, or its clock then."""
    name = zones.windows_name(at.zone)
    if not all_day and (name is None or not _agree(at, name)):
        at, name = at.at("UTC"), "UTC"
    return {"dateTime": f"{at.local.isoformat(timespec='seconds')}.0000000", "timeZone": name or "UTC"}


def _agree(at: Moment, windows: str) -> bool:
    """Say whether a zone of Windows, which stands for many places, shows the same moment by this clock."""
    return at.same(Moment(at.local, zones.iana_name(windows, "UTC") or "UTC"), all_day=False)


def shown(native: Mapping[str, Any], name: str, wedding_zone: str) -> Moment:
    """Return a `start` or `end` that Graph shows, in the zone it was set in. Raises `EventError`."""
    value = native.get(name)
    found = _DATE_TIME.fullmatch(str(value.get("dateTime"))) if isinstance(value, dict) else None
    if found is None or not isinstance(value, dict):
        raise EventError(f"its {name} is no time")
    place = zones.iana_name(str(value.get("timeZone", "")), wedding_zone)
    if place is None:
        raise EventError(f"its {name} is in a zone that is unknown, {str(value.get('timeZone'))[:60]!r}")
    at = Moment(_local(found[1]), place)
    if native.get("isAllDay") is True:
        return _day(at, native, wedding_zone)
    # An old client's own zone has no name; then the wedding's zone is as good as any.
    return at.at(_set_in(native, name, wedding_zone))


def _day(at: Moment, native: Mapping[str, Any], wedding_zone: str) -> Moment:
    # Midnight as it was set, or the moment that was midnight where it was set.
    if at.local.time() != time():
        at = at.at(_set_in(native, "start", wedding_zone))
    return Moment(at.midnight.local, wedding_zone)


def _set_in(native: Mapping[str, Any], name: str, wedding_zone: str) -> str:
    zone = str(native.get(f"original{name.title()}TimeZone") or wedding_zone)
    return zones.iana_name(zone, wedding_zone) or wedding_zone


def _local(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError as error:
        raise EventError(f"{text!r} is no time: {error}") from error
