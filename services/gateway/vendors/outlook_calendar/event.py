"""One Outlook event as a timeline event, and our values as what is written into it. Pure.

What Outlook cannot hold (an IANA zone that shares Windows' name with others, the hour of an all-day
event, no end, no status) is kept beside it in an extended property, and counts as long as what it
stands for has not been changed by anyone.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from services.gateway.vendors.outlook_calendar import times
from services.gateway.vendors.outlook_calendar.times import EventError, Moment
from wedsync.model.items import FieldValue

_NAMESPACE = "String {a3f0c1d6-6b0e-4a0e-9d53-5f6f1c0f2b7e} Name"
MARKER, KEPT = f"{_NAMESPACE} WedSyncItem", f"{_NAMESPACE} WedSyncKept"
PROPERTIES = "singleValueExtendedProperties"
_TIME_FIELDS = ("starts_at", "ends_at", "all_day")

Native = Mapping[str, Any]
Values = Mapping[str, FieldValue]


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """What an Outlook event says, in canonical values before any equivalence."""

    fields: Values
    marker: str | None
    writable: bool


def read_event(native: Native, wedding_zone: str) -> Event:
    """Read an event, or an instance of a series. Raises `EventError`."""
    properties = _properties(native)
    kept = _kept(properties.get(KEPT))
    return Event(
        fields={
            "title": _text(native.get("subject"), "subject"),
            **_times(native, kept, wedding_zone),
            "location": _text(_object(native, "location").get("displayName"), "location"),
            "notes": _notes(native),
            "status": _status(native, kept),
        },
        # A series may have been an event of ours, and its instances show what was kept with it.
        marker=properties.get(MARKER) if native.get("type") == "singleInstance" else None,
        # Of somebody else's meeting only he can change the original.
        writable=native.get("isOrganizer") is not False,
    )


def new_event(item_id: str, values: Values) -> dict[str, Any]:
    """Return the body that creates an event which carries our marker. Raises `EventError`."""
    body = _written({}, {}, {"status": None, "all_day": False, **values})
    return {**body, "transactionId": item_id, PROPERTIES: [_property(MARKER, item_id), *body[PROPERTIES]]}


def changed_event(native: Native, shown: Values, changed: Values) -> dict[str, Any]:
    """Return the body that changes these values of an event and nothing else. Raises `EventError`."""
    if "notes" in changed and native.get("isOnlineMeeting") is True:
        raise EventError("its notes hold how to join its online meeting, and writing would cut that off")
    if "status" in changed and shown.get("status") == "cancelled":
        raise EventError("its organizer cancelled it, and nobody else can take that back")
    return _written(native, shown, changed)


def with_properties(native: Native, before: Native, body: Native) -> dict[str, Any]:
    """Return what an answer to a write shows, with the extended properties it leaves out."""
    known = _properties(before) | _properties(body)
    return {**native, PROPERTIES: [_property(name, value) for name, value in known.items()]}


def _written(native: Native, shown: Values, changed: Values) -> dict[str, Any]:
    body: dict[str, Any] = {}
    if "title" in changed:
        body["subject"] = changed["title"] or ""
    if "location" in changed:
        body["location"] = {"displayName": changed["location"] or ""}
    if "notes" in changed:
        body["body"] = {"contentType": "text", "content": changed["notes"] or ""}
    wanted = {**shown, **changed}
    if "status" in changed and _class(changed["status"]) != (_shown_status(native) if native else None):
        body["showAs"] = "tentative" if changed["status"] == "tentative" else "busy"
    if changed.keys() & set(_TIME_FIELDS):
        body |= _written_times(wanted)
    if changed.keys() & {*_TIME_FIELDS, "status"}:
        kept = {name: wanted.get(name) for name in ("starts_at", "ends_at", "status")}
        body[PROPERTIES] = [_property(KEPT, json.dumps(kept, separators=(",", ":")))]
    return body


def _written_times(wanted: Values) -> dict[str, Any]:
    if wanted.get("starts_at") is None:
        raise EventError("a calendar event needs a time at which it starts")
    all_day, end = wanted.get("all_day") is True, wanted.get("ends_at")
    start, last = times.span(
        times.moment(wanted["starts_at"]), times.moment(end) if end else None, all_day=all_day
    )
    written = {"start": start, "end": last}
    return {
        **{name: times.written(at, all_day=all_day) for name, at in written.items()},
        "isAllDay": all_day,
    }


def _times(native: Native, kept: Values, wedding_zone: str) -> dict[str, FieldValue]:
    all_day = native.get("isAllDay") is True
    start, shown_end = (times.shown(native, name, wedding_zone) for name in ("start", "end"))
    end: Moment | None = shown_end
    wanted = _moment(kept.get("starts_at"))
    if wanted and times.span(wanted, None, all_day=all_day)[0].same(start, all_day=all_day):
        start = wanted
    wanted = _moment(kept.get("ends_at"))
    if "ends_at" in kept and times.span(start, wanted, all_day=all_day)[1].same(shown_end, all_day=all_day):
        end = wanted
    return {"starts_at": start.canonical, "ends_at": end.canonical if end else None, "all_day": all_day}


def _status(native: Native, kept: Values) -> FieldValue:
    shown = _shown_status(native)
    return kept["status"] if "status" in kept and _class(kept["status"]) == shown else shown


def _shown_status(native: Native) -> str:
    if native.get("isCancelled") is True:
        return "cancelled"
    return "tentative" if native.get("showAs") == "tentative" else "confirmed"


def _class(status: FieldValue) -> str:
    """Return what a status looks like in Outlook, where nothing said looks like confirmed."""
    return str(status or "confirmed")


def _notes(native: Native) -> str | None:
    body = _object(native, "body")
    if body.get("contentType") != "text":
        raise EventError("its notes came formatted although text was asked for")
    return _text(body.get("content"), "body")


def _kept(text: str | None) -> Values:
    try:
        kept = json.loads(text or "{}")
    except ValueError:
        return {}
    return kept if isinstance(kept, dict) else {}


def _moment(canonical: FieldValue) -> Moment | None:
    try:
        return times.moment(canonical)
    except EventError:
        return None


def _properties(native: Native) -> dict[str, str]:
    entries = native.get(PROPERTIES) or []
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise EventError("its extended properties are no list")
    return {str(entry.get("id")): str(entry.get("value")) for entry in entries}


def _property(name: str, value: str) -> dict[str, str]:
    return {"id": name, "value": value}


def _object(native: Native, name: str) -> Native:
    value = native.get(name) or {}
    if not isinstance(value, dict):
        raise EventError(f"its {name} is no object")
    return value


def _text(value: Any, name: str) -> str | None:
    if value is not None and not isinstance(value, str):
        raise EventError(f"its {name} is no text")
    return value or None
