"""One calendar's events: written, read and deleted as the API does. Who may call is not its business."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from wedsync.clock import Clock
from wedsync.model.ids import new_id
from wedsync.testing.google_calendar import recurrence
from wedsync.testing.google_calendar.refusal import Refused, invalid, not_found
from wedsync.testing.google_calendar.shape import SERVERS, Event, checked_id, merged, normal, shown

_INSTANCE = re.compile(r"([a-v0-9]+)_\d{8}(?:T\d{6}Z)?")


@dataclass
class Calendar:
    """A calendar; `moves` counts its changes, and each event remembers the move that made it so."""

    calendar_id: str
    clock: Clock
    time_zone: str = "Europe/Paris"
    summary: str = "Wedding"
    access_role: str = "owner"
    events: dict[str, Event] = field(default_factory=dict)
    moved: dict[str, int] = field(default_factory=dict)
    moves: int = 0
    on_change: Callable[[str], None] = lambda _: None

    def get(self, event_id: str) -> Event:
        """Return one event; a deleted one is shown as cancelled."""
        return shown(self._find(event_id))

    def insert(self, body: Mapping[str, Any]) -> Event:
        """Add an event, under the caller's id if one is given; an id counts for ever."""
        self._admit()
        event_id = checked_id(body["id"]) if "id" in body else new_id().replace("-", "")
        if "id" in body and body.get("iCalUID"):
            raise invalid("Only one of id and iCalUID may be given.")
        if event_id in self.events:
            raise Refused(409, "duplicate", "The requested identifier already exists.")
        made = {
            "kind": "calendar#event",
            "id": event_id,
            "iCalUID": body.get("iCalUID", f"{event_id}@google.com"),
            "created": self._stamp(),
            "creator": {"self": True},
            "organizer": {"email": self.calendar_id, "self": True},
            "sequence": 0,
        }
        return self._keep({**_callers(body), **made})

    def patch(self, event_id: str, body: Mapping[str, Any], if_match: str | None = None) -> Event:
        """Write some fields of an event."""
        event = self._writable(event_id, if_match)
        return self._keep(_next(event, merged(event, _callers(body))))

    def update(self, event_id: str, body: Mapping[str, Any], if_match: str | None = None) -> Event:
        """Write an event as a whole: what the caller leaves out is gone."""
        event = self._writable(event_id, if_match)
        servers = {name: value for name, value in event.items() if name in SERVERS}
        return self._keep(_next(event, {**_callers(body), **servers}))

    def delete(self, event_id: str, if_match: str | None = None) -> None:
        """Delete an event; of a series all exceptions go with it."""
        self._keep({**self._writable(event_id, if_match), "status": "cancelled"})

    def instances(self, event_id: str, until: datetime) -> list[Event]:
        """Return the instances of a series that begin before a moment, those that differ as they are."""
        series = self._find(event_id)
        if not series.get("recurrence"):
            raise invalid("The event is not recurring.") if series["status"] != "cancelled" else not_found()
        found = list[Event]()
        for plain in recurrence.instances(series):
            event = self.events.get(plain["id"], plain)
            if recurrence.begins(plain) >= until:
                break
            found += [event] if event["status"] != "cancelled" and recurrence.begins(event) < until else []
        return found

    def _admit(self) -> None:
        if self.access_role not in {"owner", "writer"}:
            raise Refused(403, "requiredAccessLevel", "You need to have writer access to this calendar.")

    def _find(self, event_id: str) -> Event:
        event = self.events.get(event_id) or self._instance(event_id)
        if event is None:
            raise not_found()
        return event

    def _instance(self, event_id: str) -> Event | None:
        """Return an instance of a series that nobody has changed yet."""
        named = _INSTANCE.fullmatch(event_id)
        series = self.events.get(named[1]) if named else None
        if series is None or not series.get("recurrence") or series["status"] == "cancelled":
            return None
        return next((event for event in recurrence.instances(series) if event["id"] == event_id), None)

    def _writable(self, event_id: str, if_match: str | None) -> Event:
        self._admit()
        event = self._find(event_id)
        if if_match not in {None, "*", event["etag"]}:
            raise Refused(412, "conditionNotMet", "Precondition Failed")
        if event["status"] == "cancelled":
            raise Refused(410, "deleted", "Resource has been deleted")
        return event

    def _keep(self, event: Event) -> Event:
        cancelled = event.get("status") == "cancelled"
        kept = event if cancelled else normal(event, self.time_zone)
        if kept.get("recurrence") and not cancelled:
            recurrence.check(kept["recurrence"], kept["start"])
        self.moves += 1
        kept = {**kept, "updated": self._stamp(), "etag": f'"{self.moves + 3_400_000_000_000_000}"'}
        self.events[kept["id"]], self.moved[kept["id"]] = kept, self.moves
        if cancelled or not kept.get("recurrence"):
            self._cancel_instances(kept["id"])
        self.on_change(self.calendar_id)
        return shown(kept)

    def _cancel_instances(self, event_id: str) -> None:
        """Let what differed in a series that is none any more go with it."""
        instances = [event for event in self.events.values() if event.get("recurringEventId") == event_id]
        for one in instances:
            if one["status"] != "cancelled":
                self._keep({**one, "status": "cancelled"})

    def _stamp(self) -> str:
        return self.clock.now().strftime("%Y-%m-%dT%H:%M:%S.000Z")


def _callers(body: Mapping[str, Any]) -> Event:
    """Return what a caller may decide; the rest is ignored, as Google does."""
    return {name: value for name, value in body.items() if name not in SERVERS}


def _next(before: Event, after: Event) -> Event:
    significant = any(before.get(name) != after.get(name) for name in ("start", "end", "location", "status"))
    return {**after, "sequence": before["sequence"] + significant}
