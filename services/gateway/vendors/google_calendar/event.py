"""One event of Google's as a timeline event, and our values as what is written into it. Pure.

Of a series each instance is an event of its own, and what is written goes to that instance. What Google
cannot hold of a time (the hour of an all-day event, an end that is missing or not after its start) is kept
beside it in a private property, and counts as long as the time it stands for has not been changed by anyone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from services.gateway.vendors.google_calendar import times
from services.gateway.vendors.google_calendar.times import BadTime, Moment
from wedsync.model.items import FieldValue

MARKER = "wedsync_id"
_KEPT_START, _KEPT_END = "wedsync_starts_at", "wedsync_ends_at"
_NO_END = "none"
_TEXTS = {"title": "summary", "location": "location", "notes": "description"}
_STATUSES = frozenset({"tentative", "confirmed"})
_TIME_FIELDS = frozenset({"starts_at", "ends_at", "all_day"})
# How often one item may be deleted and restored: each time its event needs another id.
MAX_LIVES = 20
# Stands in no id of Google's.
_OF_SERIES = "@"
_DAY_LENGTH = 8


def event_id(item_id: str, life: int = 0) -> str:
    """Return the id under which a create of ours lies: an item's, and once that is deleted the next.

    Ids are base32hex (0-9, a-v), which the digits of a UUID are; an id counts for ever.
    """
    return item_id.replace("-", "") + (f"v{life}" if life else "")


def is_cancelled(event: Mapping[str, Any]) -> bool:
    """Say whether the event is deleted."""
    return event.get("status") == "cancelled"


def is_series(event: Mapping[str, Any]) -> bool:
    """Say whether it is a series, of which only the instances take place."""
    return bool(event.get("recurrence"))


def series_of(event: Mapping[str, Any]) -> str | None:
    """Return the series that an event is, or is an instance of."""
    own = event.get("id") if is_series(event) else None
    name = event.get("recurringEventId") or own
    return str(name) if name else None


def instance_id(series: str, key: str) -> str:
    """Return the record id of an instance: Google's own tells its time, and changes when its series moves."""
    return f"{series}{_OF_SERIES}{key}"


def instance_of(record_id: str) -> tuple[str, str] | None:
    """Return the series and the key of an instance, None for any other record."""
    series, separator, key = record_id.partition(_OF_SERIES)
    return (series, key) if separator else None


def named(events: Iterable[Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """Return the instances of a series by the day on which it has them; of several, the later by time too."""
    found: dict[str, Mapping[str, Any]] = {}
    for event in sorted(events, key=_planned):
        at = _planned(event)
        found[at[:8] if at[:8] not in found else at] = event
    return found


def original_start(series: Mapping[str, Any], key: str, wedding_zone: str) -> str:
    """Return when a series has the instance of that key, as Google asks for it. Raises `BadTime`."""
    first, all_day = times.read(series.get("start"), wedding_zone)
    day = f"{key[:4]}-{key[4:6]}-{key[6:8]}"
    if all_day:
        return day
    clock = f"{key[9:11]}:{key[11:13]}:{key[13:15]}" if len(key) > _DAY_LENGTH else f"{first.local:%H:%M:%S}"
    return times.moment(f"{day}T{clock}[{first.zone}]").aware.isoformat(timespec="seconds")


def is_writable(event: Mapping[str, Any]) -> bool:
    """Say whether we may change it: an event of the default type that this calendar organizes."""
    organizer = event.get("organizer")
    own = not isinstance(organizer, Mapping) or organizer.get("self") is True
    return (
        not event.get("locked")
        and event.get("eventType", "default") == "default"
        and (own or event.get("guestsCanModify") is True)
    )


def marker_of(event: Mapping[str, Any]) -> str | None:
    """Return the item a create of ours made it for. A copy keeps our mark, but never the id."""
    marker = _private(event).get(MARKER)
    return marker if isinstance(marker, str) and event.get("id") in _lives(marker) else None


def fields_of(event: Mapping[str, Any], wedding_zone: str) -> dict[str, FieldValue]:
    """Return what the event says, in canonical values before any equivalence. Raises `BadTime`."""
    status = event.get("status", "confirmed")
    return {
        **{path: _text(event.get(name)) for path, name in _TEXTS.items()},
        **_times(event, wedding_zone),
        "status": status if status in _STATUSES else None,
    }


def new_event(item_id: str, values: Mapping[str, FieldValue], wedding_zone: str) -> dict[str, Any]:
    """Return what creates the item's event, without the id. Raises `BadTime`."""
    written = changes({}, {"all_day": False, **values}, wedding_zone)
    private = written.get("extendedProperties", {}).get("private", {})
    plain = {name: _without_nulls(value) for name, value in written.items() if value is not None}
    return {**plain, "extendedProperties": {"private": {MARKER: item_id, **_without_nulls(private)}}}


def changes(event: Mapping[str, Any], values: Mapping[str, FieldValue], wedding_zone: str) -> dict[str, Any]:
    """Return the patch that writes the values and leaves everything else. Raises `BadTime`."""
    shown = fields_of(event, wedding_zone) if event else {}
    changed = {path: value for path, value in values.items() if path not in shown or shown[path] != value}
    patch: dict[str, Any] = {name: changed[path] for path, name in _TEXTS.items() if path in changed}
    if "status" in changed:
        patch["status"] = changed["status"] or "confirmed"
    if _TIME_FIELDS & changed.keys():
        patch |= _time_changes({**shown, **values}, wedding_zone)
        patch |= {"endTimeUnspecified": None} if event.get("endTimeUnspecified") else {}
    return patch


def _planned(event: Mapping[str, Any]) -> str:
    """Return when its series has an instance, by the clock of the series, whatever became of it since."""
    try:
        at, all_day = times.read(event.get("originalStartTime"), "UTC")
    except BadTime:
        return str(event.get("id"))
    return f"{at.local:%Y%m%d}" if all_day else f"{at.local:%Y%m%dT%H%M%S}"


def _times(event: Mapping[str, Any], wedding_zone: str) -> dict[str, FieldValue]:
    start, all_day = times.read(event.get("start"), wedding_zone)
    end: Moment | None = None
    if not event.get("endTimeUnspecified"):
        end = times.read(event.get("end"), wedding_zone)[0]
    kept = _private(event)
    wanted = _kept(kept.get(_KEPT_START))
    if wanted and _back(times.start_of(wanted, all_day=all_day), wedding_zone) == start:
        start = wanted
        wanted, unended = _kept(kept.get(_KEPT_END)), kept.get(_KEPT_END) == _NO_END
        if (wanted or unended) and _back(times.end_of(start, wanted, all_day=all_day), wedding_zone) == end:
            end = wanted
    return {"starts_at": start.canonical, "ends_at": end.canonical if end else None, "all_day": all_day}


def _time_changes(wanted: Mapping[str, FieldValue], wedding_zone: str) -> dict[str, Any]:
    starts_at, ends_at = wanted.get("starts_at"), wanted.get("ends_at")
    if not isinstance(starts_at, str):
        raise BadTime("a calendar event needs a time at which it starts")
    start, all_day = times.moment(starts_at), wanted.get("all_day") is True
    end = times.moment(ends_at) if isinstance(ends_at, str) else None
    written_start = times.start_of(start, all_day=all_day)
    written_end = times.end_of(start, end, all_day=all_day)
    holds_start = _back(written_start, wedding_zone) == start
    holds_end = _back(written_end, wedding_zone) == end
    # An end that is kept stands for the one beside this very start.
    kept = {
        _KEPT_START: None if holds_start and holds_end else start.canonical,
        _KEPT_END: None if holds_end else end.canonical if end else _NO_END,
    }
    return {"start": written_start, "end": written_end, "extendedProperties": {"private": kept}}


def _back(written: Mapping[str, str | None], wedding_zone: str) -> Moment:
    return times.read(written, wedding_zone)[0]


def _kept(text: Any) -> Moment | None:
    try:
        return times.moment(text) if isinstance(text, str) else None
    except BadTime:
        return None


def _lives(item_id: str) -> frozenset[str]:
    return frozenset(event_id(item_id, life) for life in range(MAX_LIVES))


def _private(event: Mapping[str, Any]) -> Mapping[str, Any]:
    extended = event.get("extendedProperties")
    private = extended.get("private") if isinstance(extended, Mapping) else None
    return private if isinstance(private, Mapping) else {}


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _without_nulls(value: Any) -> Any:
    return {k: v for k, v in value.items() if v is not None} if isinstance(value, Mapping) else value
