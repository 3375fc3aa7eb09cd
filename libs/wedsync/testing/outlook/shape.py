"""What a client may write into an event, and what is kept of it. Pure.

Kept are `subject`, `content` (text), `location`, `showAs`, `isAllDay`, `start` and `end` (see `times`) with
their zones' names, and as they came the properties that mean nothing to the rest of the simulator.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from wedsync.testing.outlook import times
from wedsync.testing.outlook.refusal import Refused, invalid

Json = dict[str, Any]

_SHOW_AS = frozenset({"free", "tentative", "busy", "oof", "workingElsewhere", "unknown"})
_OPAQUE = frozenset(
    {"attendees", "categories", "importance", "isReminderOn", "reminderMinutesBeforeStart", "sensitivity"}
)
_WRITABLE = _OPAQUE | {
    "body",
    "end",
    "isAllDay",
    "isOnlineMeeting",
    "location",
    "showAs",
    "singleValueExtendedProperties",
    "start",
    "subject",
}
_ON_CREATE = _WRITABLE | {"recurrence", "transactionId"}
# The kinds of a named property: a GUID that is ours, and a name within it.
_PROPERTY = re.compile(
    r"String \{[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\} Name [A-Za-z0-9_-]{1,100}"
)
_TAG = re.compile(r"<[^>]*>")
_NOTHING: Json = {
    "subject": "",
    "content": "",
    "location": "",
    "showAs": "busy",
    "isAllDay": False,
    "isOnlineMeeting": False,
}
_MAX_SUBJECT = 255
_DAY = timedelta(days=1)


def settled(before: Json | None, given: Any) -> Json:
    """Return the event after a create (of nothing before) or an update. Raises `Refused`."""
    _check_names(given, _ON_CREATE if before is None else _WRITABLE)
    after = {**(before or _NOTHING), **{name: given[name] for name in _OPAQUE & given.keys()}}
    after |= {name: _text(given, name) for name in ("subject",) if name in given}
    after |= {name: _flag(given, name) for name in ("isAllDay", "isOnlineMeeting") if name in given}
    if len(after["subject"]) > _MAX_SUBJECT:
        raise invalid("The subject is too long.", "ErrorPropertyValidationFailure")
    if "body" in given:
        after["content"] = _content(given["body"])
    if "location" in given:
        after["location"] = _location(given["location"])
    if "showAs" in given:
        after["showAs"] = _choice(given["showAs"])
    return _with_times(before, after, given)


def properties(given: Json) -> dict[str, str]:
    """Return the extended properties a client writes, by id. Raises `Refused`."""
    entries = given.get("singleValueExtendedProperties", [])
    try:
        found = {str(entry["id"]): str(entry["value"]) for entry in entries}
    except (KeyError, TypeError) as error:
        raise invalid("singleValueExtendedProperties needs id and value", "RequestBodyRead") from error
    if wrong := [name for name in found if not _PROPERTY.fullmatch(name)]:
        raise invalid(f"PropertyId values may only be in one of the following formats: {wrong}")
    return found


def _check_names(given: Any, known: frozenset[str]) -> None:
    if not isinstance(given, dict):
        raise invalid("The body is no object.", "RequestBodyRead")
    for name in given.keys() - known:
        message = f"The property '{name}' cannot be written on type 'microsoft.graph.event'."
        raise invalid(message, "RequestBodyRead")


def _with_times(before: Json | None, after: Json, given: Mapping[str, Any]) -> Json:
    named = {"start", "end"} & given.keys()
    changes_kind = before is not None and before["isAllDay"] != after["isAllDay"]
    if len(named) < 2 and (before is None or changes_kind):
        raise _unfit("Start and end are required.")
    for name in named:
        moment, place = times.read(given[name], name, floating=after["isAllDay"])
        after |= {name: moment.isoformat(), f"{name}Zone": place}
    start, end = datetime.fromisoformat(after["start"]), datetime.fromisoformat(after["end"])
    if end < start:
        raise invalid("The end is before the start.", "ErrorCalendarEndDateIsEarlierThanStartDate")
    if after["isAllDay"]:
        if not (times.is_midnight(start) and times.is_midnight(end)):
            raise _unfit("The Event.Start property for an all-day event needs to be set to midnight.")
        if after["startZone"] != after["endZone"] or end - start < _DAY:
            raise _unfit("The duration of an all-day event must be at least 24 hours, in one time zone.")
    return after


def _content(body: Any) -> str:
    if not isinstance(body, dict) or body.get("contentType", "").lower() not in {"text", "html"}:
        raise invalid("body has the contentType text or html", "RequestBodyRead")
    content = _text(body, "content")
    return content if body["contentType"].lower() == "text" else _TAG.sub("", content)


def _location(location: Any) -> str:
    if not isinstance(location, dict):
        raise invalid("location is no object", "RequestBodyRead")
    return _text(location, "displayName")


def _text(holder: Mapping[str, Any], name: str) -> str:
    value = holder.get(name)
    if not isinstance(value, str):
        raise invalid(f"{name} is no text", "RequestBodyRead")
    return value


def _flag(holder: Mapping[str, Any], name: str) -> bool:
    value = holder[name]
    if not isinstance(value, bool):
        raise invalid(f"{name} is neither true nor false", "RequestBodyRead")
    return value


def _choice(value: Any) -> str:
    if value not in _SHOW_AS:
        raise invalid(f"{value} is no showAs", "RequestBodyRead")
    return str(value)


def _unfit(message: str) -> Refused:
    return invalid(message, "ErrorPropertyValidationFailure")
