"""One calendar resource as a timeline event, and our values written into it. Pure.

Of a recurring event each instance is an event of its own (see `series`), and what is written goes to that
instance. What iCalendar cannot hold of a time (the hour of an all-day event, an end that
is not after its start) is kept beside it in an X- property, and counts as long as the property it
stands for has not been changed by anyone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from services.gateway.vendors.apple_calendar import series, times, zones
from services.gateway.vendors.apple_calendar.ics import (
    Component,
    IcsError,
    Line,
    escape,
    parse,
    prop,
    serialize,
    split_list,
    unescape,
)
from services.gateway.vendors.apple_calendar.series import Instance
from services.gateway.vendors.apple_calendar.times import Moment, TimeContext
from wedsync.model.items import FieldValue

MARKER = "X-WEDSYNC-ID"
_KEPT_START, _KEPT_END = "X-WEDSYNC-STARTS-AT", "X-WEDSYNC-ENDS-AT"
_TEXTS = {"title": "SUMMARY", "location": "LOCATION", "notes": "DESCRIPTION"}
# Other forms of the same text, which clients prefer to show: stale once the text is changed.
_OTHER_FORMS = {"location": ("X-APPLE-STRUCTURED-LOCATION", "GEO"), "notes": ("X-ALT-DESC",)}
_STATUSES = frozenset({"tentative", "confirmed", "cancelled"})
_TIME_FIELDS = frozenset({"starts_at", "ends_at", "all_day"})
# What an attendee has to know about (RFC 5546 section 2.1.4), so SEQUENCE rises.
_SIGNIFICANT = _TIME_FIELDS | {"location", "status"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """What a calendar resource says of one time, in canonical values before any equivalence."""

    uid: str
    fields: Mapping[str, FieldValue]
    marker: str | None


def has_events(text: str) -> bool:
    """Say whether a calendar resource holds events, and not tasks or journals only. Raises `IcsError`."""
    calendar = parse(text)
    if calendar.components("VEVENT"):
        return True
    if calendar.components("VTODO") or calendar.components("VJOURNAL"):
        return False
    raise IcsError("there is no VEVENT in it")


def read_event(text: str, wedding_zone: str, key: str = "") -> Event | None:
    """Read the event of a calendar resource, or the instance of that key; None if there is none such.

    Raises `IcsError`.
    """
    if not has_events(text):
        return None
    calendar = parse(text)
    found, context = _found(calendar, wedding_zone, key), _context(calendar, wedding_zone)
    return None if found is None else _event(found.event, context, single=not key)


def read_instances(text: str, wedding_zone: str, until: datetime) -> dict[str, Event]:
    """Read the instances of a recurring event before a moment, by key; none of one that does not recur.

    Raises `IcsError`.
    """
    calendar = parse(text)
    events, context = calendar.components("VEVENT"), _context(calendar, wedding_zone)
    if not series.is_series(events):
        return {}
    _one_uid(events)
    found = series.instances(events, context, until)
    return {one.key: _event(one.event, context, single=False) for one in found}


def new_event(item_id: str, values: Mapping[str, FieldValue], wedding_zone: str, now: datetime) -> str:
    """Return the calendar resource of a new event that carries our marker."""
    event = Component("VEVENT", (prop("UID", item_id), prop(MARKER, item_id), prop("CREATED", _stamp(now))))
    calendar = Component(
        "VCALENDAR", (prop("VERSION", "2.0"), prop("PRODID", "-//WedSync//WedSync//EN"), event)
    )
    return _written(calendar, event, {}, {"all_day": False, **values}, wedding_zone, now)


def changed_event(
    text: str, values: Mapping[str, FieldValue], wedding_zone: str, now: datetime, key: str = ""
) -> str:
    """Return the calendar resource with the values written into its event, and everything else kept."""
    calendar = parse(text)
    found = _found(calendar, wedding_zone, key)
    if found is None:
        raise IcsError("it has no such event any more")
    shown = _fields(found.event, _context(calendar, wedding_zone))
    return _written(calendar, found.event, shown, values, wedding_zone, now)


def cancelled(text: str, wedding_zone: str, now: datetime, key: str) -> str | None:
    """Return the resource of a recurring event without one instance; None if nothing is left of it."""
    calendar = parse(text)
    found = _found(calendar, wedding_zone, key)
    if found is None:
        return text
    left = series.without(calendar, found)
    if left is None:
        return None
    master = series.master_of(left.components("VEVENT"))
    if master is not None:
        left = left.with_component(master, _stamped(master, _sequence(master) + 1, now))
    return serialize(left)


def _found(calendar: Component, wedding_zone: str, key: str) -> Instance | None:
    events = calendar.components("VEVENT")
    _one_uid(events)
    if key:
        return series.instance(events, _context(calendar, wedding_zone), key)
    if series.is_series(events):
        return None
    if len(events) > 1:
        raise IcsError("it holds an event twice")
    return Instance(key="", event=events[0], own=events[0])


def _event(event: Component, context: TimeContext, *, single: bool) -> Event:
    uid, marker = _value(event, "UID") or "", _value(event, MARKER)
    # A client that duplicates an event copies our marker, but never the UID; what recurs may be ours, too.
    ours = single and marker == uid
    return Event(uid=uid, fields=_fields(event, context), marker=marker if ours else None)


def _context(calendar: Component, wedding_zone: str) -> TimeContext:
    return TimeContext(wedding_zone, zones.definitions(calendar))


def _one_uid(events: list[Component]) -> str:
    if not events:
        raise IcsError("there is no VEVENT in it")
    uids = {_value(event, "UID") for event in events}
    if len(uids) != 1:
        raise IcsError("its events have different UIDs; one resource holds one event")
    uid = uids.pop()
    if not uid:
        raise IcsError("its event has no UID")
    return uid


def _fields(event: Component, context: TimeContext) -> dict[str, FieldValue]:
    tags = {tag for line in event.lines("CATEGORIES") for tag in split_list(line.value)}
    status = (_value(event, "STATUS") or "").strip().lower()
    return {
        **{path: unescape(_value(event, name) or "") or None for path, name in _TEXTS.items()},
        **_times(event, context),
        "status": status if status in _STATUSES else None,
        "tags": tuple(sorted(tags)) or None,
    }


def _times(event: Component, context: TimeContext) -> dict[str, FieldValue]:
    line = event.line("DTSTART")
    if line is None:
        raise IcsError("its event has no DTSTART")
    start, all_day = times.read(line, context)
    end = times.read_end(event, start, context)
    kept = _kept(event, _KEPT_START)
    if kept and _shown(times.start_line(kept, all_day=all_day), context) == start:
        start = kept
    kept = _kept(event, _KEPT_END)
    if kept and _shown(times.end_line(start, kept, all_day=all_day), context) == end:
        end = kept
    return {"starts_at": start.canonical, "ends_at": end.canonical if end else None, "all_day": all_day}


def _written(
    calendar: Component,
    event: Component,
    shown: Mapping[str, FieldValue],
    values: Mapping[str, FieldValue],
    wedding_zone: str,
    now: datetime,
) -> str:
    changed = {path: value for path, value in values.items() if path not in shown or shown[path] != value}
    edited = _with_texts(event, changed)
    context = _context(calendar, wedding_zone)
    if _TIME_FIELDS & changed.keys():
        edited = _with_times(edited, {**shown, **values}, context)
    sequence = _sequence(event) + (1 if shown and _SIGNIFICANT & changed.keys() else 0)
    edited = _stamped(edited, sequence, now)
    stands = any(entry is event for entry in calendar.entries)
    placed = calendar.with_component(event, edited) if stands else calendar.with_added(edited)
    return serialize(_with_zones(placed, edited))


def _stamped(event: Component, sequence: int, now: datetime) -> Component:
    stamps = {"SEQUENCE": str(sequence), "DTSTAMP": _stamp(now), "LAST-MODIFIED": _stamp(now)}
    for name, text in stamps.items():
        event = event.with_line(name, prop(name, text))
    return event


def _with_texts(event: Component, changed: Mapping[str, FieldValue]) -> Component:
    for path, name in _TEXTS.items():
        if path in changed:
            event = event.with_line(name, _text_line(name, changed[path]))
            for other in _OTHER_FORMS.get(path, ()):
                event = event.with_line(other, None)
    if "status" in changed:
        event = event.with_line("STATUS", _text_line("STATUS", str(changed["status"] or "").upper()))
    if "tags" in changed:
        tags = changed["tags"] if isinstance(changed["tags"], tuple) else ()
        line = prop("CATEGORIES", ",".join(map(escape, tags))) if tags else None
        event = event.with_line("CATEGORIES", line)
    return event


def _with_times(event: Component, wanted: Mapping[str, FieldValue], context: TimeContext) -> Component:
    starts_at, ends_at = wanted.get("starts_at"), wanted.get("ends_at")
    if not isinstance(starts_at, str):
        raise IcsError("a calendar event needs a time at which it starts")
    start, all_day = times.moment(starts_at), wanted.get("all_day") is True
    end = times.moment(ends_at) if isinstance(ends_at, str) else None
    lines = {
        "DTSTART": times.start_line(start, all_day=all_day),
        "DTEND": times.end_line(start, end, all_day=all_day),
        "DURATION": None,
    }
    event = _with_time_line(event, _KEPT_START, start, lines["DTSTART"], context)
    event = _with_time_line(event, _KEPT_END, end, lines["DTEND"], context)
    for name, line in lines.items():
        event = event.with_line(name, line)
    return event


def _with_time_line(
    event: Component, kept: str, wanted: Moment | None, line: Line | None, context: TimeContext
) -> Component:
    """Keep the wanted time beside the line that cannot say it; drop what was kept where it can."""
    lost = wanted is not None and _shown(line, context) != wanted
    return event.with_line(kept, prop(kept, wanted.canonical) if wanted and lost else None)


def _shown(line: Line | None, context: TimeContext) -> Moment | None:
    return times.read(line, context)[0] if line else None


def _with_zones(calendar: Component, event: Component) -> Component:
    known = zones.definitions(calendar)
    lines = [line for name in ("DTSTART", "DTEND") if (line := event.line(name))]
    named = {tzid: int(line.value[:4]) for line in lines if (tzid := line.params.get("TZID"))}
    for tzid, year in sorted(named.items()):
        if tzid not in known and zones.iana_name(tzid, None) == tzid:
            calendar = calendar.with_component(None, zones.definition_of(tzid, year))
    return calendar


def _kept(event: Component, name: str) -> Moment | None:
    try:
        return times.moment(_value(event, name) or "")
    except IcsError:
        return None


def _text_line(name: str, value: FieldValue) -> Line | None:
    return prop(name, escape(value)) if isinstance(value, str) and value else None


def _sequence(event: Component) -> int:
    text = (_value(event, "SEQUENCE") or "").strip()
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0


def _value(event: Component, name: str) -> str | None:
    line = event.line(name)
    return line.value if line else None


def _stamp(now: datetime) -> str:
    return now.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
