"""The days on which a series takes place: daily, weekly and monthly patterns, with each kind of end. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date, timedelta
from typing import Any

from wedsync.testing.outlook.refusal import invalid

_DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_TYPES = frozenset({"daily", "weekly", "absoluteMonthly"})
_ENDS = {"noEnd": None, "endDate": "endDate", "numbered": "numberOfOccurrences"}


def check(recurrence: Any) -> Mapping[str, Any]:
    """Return a recurrence that makes sense. Raises `Refused`."""
    try:
        pattern, range_ = recurrence["pattern"], recurrence["range"]
        date.fromisoformat(range_["startDate"])
        end = _ENDS[range_["type"]]
        sensible = pattern["type"] in _TYPES and int(pattern["interval"]) >= 1
        sensible = sensible and (end is None or end in range_)
        sensible = sensible and set(pattern.get("daysOfWeek", ())) <= set(_DAYS)
    except (KeyError, TypeError, ValueError) as error:
        raise invalid(f"The recurrence makes no sense: {error}", "ErrorRecurrencePattern") from error
    if not sensible:
        raise invalid("The recurrence makes no sense.", "ErrorRecurrencePattern")
    return dict(recurrence)


def days(recurrence: Mapping[str, Any], until: date) -> Iterator[date]:
    """Yield the days of a series up to one, in order."""
    pattern, range_ = recurrence["pattern"], recurrence["range"]
    first = date.fromisoformat(range_["startDate"])
    last = min(until, date.fromisoformat(range_["endDate"])) if range_["type"] == "endDate" else until
    left = int(range_["numberOfOccurrences"]) if range_["type"] == "numbered" else -1
    day = first
    while day <= last and left:
        if _falls_on(pattern, first, day):
            yield day
            left -= 1
        day += timedelta(days=1)


def _falls_on(pattern: Mapping[str, Any], first: date, day: date) -> bool:
    every = int(pattern["interval"])
    if pattern["type"] == "daily":
        return (day - first).days % every == 0
    if pattern["type"] == "weekly":
        monday = first - timedelta(days=first.weekday())
        wanted = pattern.get("daysOfWeek") or [_DAYS[first.weekday()]]
        return (day - monday).days // 7 % every == 0 and _DAYS[day.weekday()] in wanted
    months = (day.year - first.year) * 12 + day.month - first.month
    return months % every == 0 and day.day == int(pattern.get("dayOfMonth", first.day))
