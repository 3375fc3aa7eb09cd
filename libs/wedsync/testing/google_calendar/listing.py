"""A calendar's events as the API lists them: pages, and tokens that go on where a listing ended. Pure."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any

from wedsync.testing.google_calendar import recurrence
from wedsync.testing.google_calendar.calendars import Calendar
from wedsync.testing.google_calendar.refusal import Refused, invalid
from wedsync.testing.google_calendar.shape import Event, shown

# What may not be asked for together with a sync token.
_FORBIDDEN = frozenset(
    {
        "iCalUID",
        "orderBy",
        "privateExtendedProperty",
        "q",
        "sharedExtendedProperty",
        "timeMin",
        "timeMax",
        "updatedMin",
    }
)
# What need not be asked for alike each time.
_PLACES = frozenset({"syncToken", "pageToken", "maxResults", "alt", "prettyPrint"})
_DEFAULT_SIZE, _MAX_SIZE = 250, 2500
_NEVER = "9999-01-01T00:00:00Z"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """Where a listing goes on, as its tokens hold it."""

    epoch: int
    """Tokens of an earlier one have expired."""
    asked: dict[str, str]
    after: int = 0
    """The last change that was shown."""
    syncing: bool = False
    page: int = 0


def page(calendar: Calendar, query: Mapping[str, str], epoch: int, sizes: Sequence[int]) -> Event:
    """Return one page. `sizes`, if there are any, say how many events the pages hold at most, in turn.

    Events are listed in the order of their last change, so that one changed meanwhile is seen again.
    """
    _check(query)
    place = _place(query, epoch)
    wanted = _wanted(calendar, place)
    size = min([_size(query), *([sizes[place.page % len(sizes)]] if sizes else [])])
    items = [shown(calendar.events[event_id]) for event_id in wanted[:size]]
    answer: Event = {"kind": "calendar#events", "timeZone": calendar.time_zone, "items": items}
    if size < len(wanted):
        after = calendar.moved[wanted[size - 1]] if size else place.after
        return answer | {"nextPageToken": _token(replace(place, after=after, page=place.page + 1))}
    return answer | {"nextSyncToken": _token(replace(place, after=calendar.moves, page=0, syncing=True))}


def instances(calendar: Calendar, event_id: str, query: Mapping[str, str]) -> Event:
    """Return one page of the instances of a series that begin before `timeMax`."""
    if wrong := sorted(query.keys() - {"alt", "maxResults", "originalStart", "pageToken", "timeMax"}):
        raise Refused(501, "notImplemented", f"This simulator does not know {', '.join(wrong)}.")
    found = calendar.instances(event_id, _moment(query.get("timeMax", _NEVER)))
    if "originalStart" in query:
        found = [event for event in found if recurrence.is_original(event, query["originalStart"])]
    start, size = int(query.get("pageToken", 0)), _size(query)
    page = {"kind": "calendar#events", "timeZone": calendar.time_zone, "items": found[start : start + size]}
    return page | ({"nextPageToken": str(start + size)} if len(found) > start + size else {})


def _moment(text: str) -> datetime:
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise invalid("Invalid value for timeMax.") from None
    if at.tzinfo is None:
        raise invalid("timeMax needs an offset.")
    return at


def _check(query: Mapping[str, str]) -> None:
    if "syncToken" in query and (wrong := sorted(_FORBIDDEN & query.keys())):
        raise invalid(f"Sync token cannot be used with {', '.join(wrong)}.")
    if "syncToken" in query and query.get("showDeleted") == "false":
        raise invalid("Sync token cannot be used with showDeleted=false.")
    if wrong := sorted((_FORBIDDEN - {"iCalUID", "privateExtendedProperty"}) & query.keys()):
        raise Refused(501, "notImplemented", f"This simulator does not know {', '.join(wrong)}.")
    if query.get("singleEvents") == "true":
        raise Refused(501, "notImplemented", "This simulator does not expand series.")


def _place(query: Mapping[str, str], epoch: int) -> _Place:
    asked = {name: value for name, value in query.items() if name not in _PLACES}
    token = query.get("pageToken") or query.get("syncToken")
    if token is None:
        return _Place(epoch=epoch, asked=asked)
    place = _read(token)
    if place.epoch != epoch:
        raise Refused(410, "fullSyncRequired", "Sync token is no longer valid, a full sync is required.")
    if place.asked != asked:
        raise invalid("The parameters differ from those of the request that gave the token.")
    return place


def _wanted(calendar: Calendar, place: _Place) -> list[str]:
    moved = sorted((move, event_id) for event_id, move in calendar.moved.items() if move > place.after)
    return [event_id for _, event_id in moved if _is_wanted(calendar, calendar.events[event_id], place)]


def _is_wanted(calendar: Calendar, event: Event, place: _Place) -> bool:
    mark = place.asked.get("privateExtendedProperty")
    if mark is not None:
        name, _, value = mark.partition("=")
        if event.get("extendedProperties", {}).get("private", {}).get(name) != value:
            return False
    if place.asked.get("iCalUID", event.get("iCalUID")) != event.get("iCalUID"):
        return False
    if event["status"] != "cancelled" or place.syncing or place.asked.get("showDeleted") == "true":
        return True
    # A cancelled instance says that its series, which goes on, has a gap.
    series = calendar.events.get(event.get("recurringEventId", ""))
    return series is not None and series["status"] != "cancelled"


def _size(query: Mapping[str, str]) -> int:
    given = query.get("maxResults", str(_DEFAULT_SIZE))
    if not given.isdecimal() or int(given) == 0:
        raise invalid("Invalid value for maxResults.")
    return min(int(given), _MAX_SIZE)


def _token(place: _Place) -> str:
    return base64.urlsafe_b64encode(json.dumps(asdict(place)).encode()).decode()


def _read(token: str) -> _Place:
    try:
        kept: Any = json.loads(base64.urlsafe_b64decode(token))
        return _Place(**kept)
    except (binascii.Error, ValueError, TypeError):
        raise invalid("Invalid token.") from None
