"""Time zones of calendar objects: which IANA zone a TZID means, and the VTIMEZONE we write."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import cast
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from icalendar import Timezone
from icalendar.timezone.windows_to_olson import WINDOWS_TO_OLSON

from services.gateway.vendors.apple_calendar.ics import Component, IcsError, prop, serialize

_SECOND = timedelta(seconds=1)
# No zone has two transitions within this: they could hide each other.
_STEP = timedelta(days=7)
# Years whose transitions a VTIMEZONE of ours lists, round the event's own: whoever moves the event
# further writes a definition of his own, and clients that know the zone by name read none at all.
_YEARS_BEFORE, _YEARS_AFTER = 1, 4
# An offset that changes more often than once a month is nobody's time zone, and costs seconds to expand.
_SLOW_RULE = re.compile(r"FREQ=(YEARLY|MONTHLY)(;|$)", re.IGNORECASE)
_MAX_OBSERVANCES = 200
# Vendors put a path of their own before the IANA name: /mozilla.org/20050126_1/America/New_York
_NAME_LENGTHS = (3, 2, 1)
_UTC_NAMES = frozenset({"UTC", "Z", "GMT", "ETC/UTC", "ETC/GMT"})


def zone(name: str) -> ZoneInfo:
    """Return the IANA zone of that name. Raises `IcsError` if there is none."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise IcsError(f"{name[:60]!r} is no IANA time zone") from error


def iana_name(tzid: str, definition: Component | None) -> str | None:
    """Return the IANA zone that a TZID names or its VTIMEZONE says it is, None if neither does."""
    named = _named(tzid)
    location = definition.line("X-LIC-LOCATION") if definition else None
    return named or (_named(location.value) if location else None)


def by_definition(local: datetime, definition: Component, target: str) -> datetime:
    """Read a local time by a custom VTIMEZONE; return the same moment as local time of the target zone."""
    observances = [*definition.components("STANDARD"), *definition.components("DAYLIGHT")]
    rules = [rule.value for o in observances for rule in o.lines("RRULE")]
    if not 0 < len(observances) <= _MAX_OBSERVANCES or not all(map(_SLOW_RULE.search, rules)):
        raise IcsError("its VTIMEZONE cannot be used")
    try:
        offset = _custom_offset(serialize(definition), local)
    except Exception as error:  # the library raises whatever a broken definition trips it into
        raise IcsError("its VTIMEZONE makes no sense") from error
    return offset.astimezone(zone(target)).replace(tzinfo=None)


@lru_cache(maxsize=256)
def definition_of(name: str, year: int) -> Component:
    """Return the VTIMEZONE of an IANA zone, good for some years from the given one."""
    place = zone(name)
    first = datetime(max(year - _YEARS_BEFORE, 2), 1, 1, tzinfo=UTC)
    last = datetime(min(year + _YEARS_AFTER, 9998), 12, 31, tzinfo=UTC)
    onsets = [first, *_transitions(place, first, last)]
    return Component("VTIMEZONE", (prop("TZID", name), *(_observance(place, onset) for onset in onsets)))


def definitions(calendar: Component) -> Mapping[str, Component]:
    """Return a calendar object's VTIMEZONEs by TZID."""
    zones = calendar.components("VTIMEZONE")
    return {line.value: zone for zone in zones if (line := zone.line("TZID"))}


def _named(tzid: str) -> str | None:
    if tzid.upper() in _UTC_NAMES:
        return "UTC"
    if tzid in _known():
        return tzid
    if tzid in WINDOWS_TO_OLSON:
        return str(WINDOWS_TO_OLSON[tzid])
    parts = tzid.strip("/").split("/")
    candidates = ("/".join(parts[-length:]) for length in _NAME_LENGTHS if length < len(parts))
    return next((name for name in candidates if name in _known()), None)


@lru_cache(maxsize=1)
def _known() -> frozenset[str]:
    # "localtime" and "Factory" are files of a machine, not places.
    return frozenset(available_timezones() - {"localtime", "Factory", "posixrules"})


def _custom_offset(definition: str, local: datetime) -> datetime:
    tz = cast("Timezone", Timezone.from_ical(definition)).to_tz()
    return local.replace(tzinfo=tz).astimezone(UTC)


def _transitions(place: ZoneInfo, first: datetime, last: datetime) -> Iterator[datetime]:
    """Yield the moments at which the zone's offset changes, to the second."""
    before = first
    while before < last:
        after = before + _STEP
        if after.astimezone(place).utcoffset() != before.astimezone(place).utcoffset():
            yield _onset(place, before, after)
        before = after


def _onset(place: ZoneInfo, before: datetime, after: datetime) -> datetime:
    old = before.astimezone(place).utcoffset()
    while after - before > _SECOND:
        middle = before + timedelta(seconds=(after - before) // _SECOND // 2)
        if middle.astimezone(place).utcoffset() == old:
            before = middle
        else:
            after = middle
    return after


def _observance(place: ZoneInfo, onset: datetime) -> Component:
    # One for each transition, without a list of dates: some servers keep only the first of a list.
    # The onset is written in the local time that it ends (RFC 5545 section 3.6.5).
    before, after = (onset - _SECOND).astimezone(place), onset.astimezone(place)
    start = (onset + _offset(before)).strftime("%Y%m%dT%H%M%S").rjust(15, "0")
    lines = (
        prop("DTSTART", start),
        prop("TZNAME", after.tzname() or place.key),
        prop("TZOFFSETFROM", _offset_text(before)),
        prop("TZOFFSETTO", _offset_text(after)),
    )
    return Component("DAYLIGHT" if after.dst() else "STANDARD", lines)


def _offset(moment: datetime) -> timedelta:
    return moment.utcoffset() or timedelta()


def _offset_text(moment: datetime) -> str:
    seconds = int(_offset(moment).total_seconds())
    sign, size = ("-", -seconds) if seconds < 0 else ("+", seconds)
    text = f"{sign}{size // 3600:02d}{size // 60 % 60:02d}"
    return f"{text}{size % 60:02d}" if size % 60 else text
