"""An event's times: Tave's date, time and zone on one side, canonical zoned times on the other. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from wedsync.model.items import FieldValue
from wedsync.model.moments import instant

_ZONED = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)\[([A-Za-z0-9_+/-]+)\]")
_DAY = timedelta(days=1)

TIME_FIELDS = frozenset({"starts_at", "ends_at", "all_day"})


@dataclass(frozen=True, slots=True)
class Moment:
    """A wall-clock time in a zone."""

    local: datetime
    zone: str

    def in_zone(self, zone: str) -> Moment:
        """Return the same instant on another zone's wall clock."""
        if zone == self.zone:
            return self
        at = instant(self.local, self.zone)
        return Moment(at.astimezone(ZoneInfo(zone)).replace(tzinfo=None), zone)

    def __str__(self) -> str:
        return f"{self.local:%Y-%m-%dT%H:%M:%S}[{self.zone}]"


@dataclass(frozen=True, slots=True)
class Span:
    """When an event is. An all-day span ends at the midnight after its last day, as in iCalendar."""

    starts: Moment | None
    ends: Moment | None
    all_day: bool

    def normal(self) -> Span:
        """Return what Tave can keep of it: one zone, whole minutes, whole days if it is all-day."""
        starts = self.starts and replace(self.starts, local=_minute(self.starts.local))
        ends = self.ends and self.ends.in_zone(starts.zone if starts else self.ends.zone)
        ends = ends and replace(ends, local=_minute(ends.local))
        return _whole_days(starts, ends) if self.all_day else Span(starts, ends, all_day=False)


def read_moment(value: FieldValue) -> Moment | None:
    """Return the canonical time. Raises `ValueError` if it is none."""
    if value is None:
        return None
    matched = _ZONED.fullmatch(str(value))
    if not matched:
        raise ValueError("is not a zoned time")
    return Moment(datetime.fromisoformat(matched[1]), _known(matched[2]))


def from_fields(fields: Mapping[str, FieldValue]) -> Span:
    """Return the span the canonical fields describe, in normal form."""
    starts, ends = read_moment(fields.get("starts_at")), read_moment(fields.get("ends_at"))
    return Span(starts, ends, all_day=fields.get("all_day") is True).normal()


def to_fields(span: Span) -> dict[str, FieldValue]:
    """Return the span as canonical fields."""
    return {
        "starts_at": str(span.starts) if span.starts else None,
        "ends_at": str(span.ends) if span.ends else None,
        "all_day": span.all_day,
    }


def from_event(event: Mapping[str, Any], default_zone: str, *, inclusive: bool) -> Span:
    """Return an event's span. `inclusive`: an all-day event's end date is its last day."""
    zone = _known(event.get("timezoneName") or default_zone)
    all_day = event.get("allDay") is True
    starts = _moment(event.get("startDate"), None if all_day else event.get("startTime"), zone)
    end_date = event.get("endDate") or (event.get("startDate") if event.get("endTime") else None)
    ends = _moment(end_date, None if all_day else event.get("endTime"), zone)
    if all_day and ends and inclusive:
        ends = replace(ends, local=ends.local + _DAY)
    return Span(starts, ends, all_day).normal()


def to_event(span: Span, *, inclusive: bool) -> dict[str, Any]:
    """Return the event's fields for the span; the zone only where there is a time."""
    ends = span.ends
    if span.all_day and ends and inclusive:
        ends = replace(ends, local=ends.local - _DAY)
    written = {"allDay": span.all_day} | _parts("start", span.starts, span) | _parts("end", ends, span)
    zoned = span.starts or span.ends
    return written | ({"timezoneName": zoned.zone} if zoned else {})


def _parts(name: str, moment: Moment | None, span: Span) -> dict[str, Any]:
    day = moment and f"{moment.local:%Y-%m-%d}"
    at = moment and not span.all_day and f"{moment.local:%H:%M}:00"
    return {f"{name}Date": day, f"{name}Time": at or None}


def _moment(day: str | None, at: str | None, zone: str) -> Moment | None:
    if not day:
        return None
    clock = time.fromisoformat(at) if at else time()
    return Moment(datetime.combine(datetime.strptime(day, "%Y-%m-%d").date(), clock), zone)  # noqa: DTZ007


def _whole_days(starts: Moment | None, ends: Moment | None) -> Span:
    first = starts and replace(starts, local=_midnight(starts.local))
    # The last day begun is a whole day too.
    last = ends and replace(ends, local=_midnight(ends.local + _DAY - timedelta(microseconds=1)))
    if first and last and last.local <= first.local:
        last = replace(first, local=first.local + _DAY)
    return Span(first, last, all_day=True)


def _minute(local: datetime) -> datetime:
    return local.replace(second=0, microsecond=0)


def _midnight(local: datetime) -> datetime:
    return datetime.combine(local.date(), time())


def _known(zone: str) -> str:
    try:
        ZoneInfo(zone)
    except (OSError, ValueError, KeyError) as error:
        raise ValueError(f"is in an unknown time zone, {zone[:64]}") from error
    return zone
