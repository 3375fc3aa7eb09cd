"""The mailbox behind the simulator: its calendars, their events and series, and the rules of it. Pure."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any

from wedsync.clock import Clock
from wedsync.testing.outlook import recurrence, shape, times
from wedsync.testing.outlook.refusal import Refused, invalid, not_found
from wedsync.testing.outlook.shape import Json

CALENDAR = "AAkALgCalendarWedding="
"""A calendar that every mailbox has."""

_DAY = timedelta(days=1)


@dataclass(slots=True, kw_only=True)
class Kept:
    """A single event, or a series with what differs on some of its days."""

    event_id: str
    """The id that stays when the event moves."""
    calendar: str
    body: Json
    transaction_id: str | None = None
    asked: Json | None = None
    """What created it, by which a repetition is told from another event."""
    properties: dict[str, str] = field(default_factory=dict)
    recurrence: Json | None = None
    exceptions: dict[str, Json] = field(default_factory=dict)
    """By the day of the series: what stands there instead."""
    own_properties: dict[str, dict[str, str]] = field(default_factory=dict)
    """By the day of the series: the extended properties written there."""
    cancelled: list[str] = field(default_factory=list)
    """The days of the series on which it does not take place."""
    number: int = 0
    """The mailbox's count when it changed last."""
    created: str = ""
    modified: str = ""
    moves: int = 0
    is_organizer: bool = True
    is_cancelled: bool = False


@dataclass(frozen=True, slots=True)
class Key:
    """An event, a series, or (with a day) one instance of a series."""

    event_id: str
    day: str = ""


class Mailbox:
    """What Outlook keeps. What subscribers are to be told of is collected until it is taken."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.calendars = {CALENDAR: "Wedding"}
        self.events: dict[str, Kept] = {}
        self.number = 0
        """Rises with each change."""
        self.used: dict[str, str] = {}
        """The transaction ids ever used, with the event each made."""
        self._fired: list[tuple[str, Kept]] = []

    def take_fired(self) -> list[tuple[str, Kept]]:
        """Return since the last call what was `created`, `updated` or `deleted`."""
        fired, self._fired = self._fired, []
        return fired

    def calendar(self, calendar_id: str) -> str:
        """Return the id of a calendar that exists. Raises `Refused`."""
        if calendar_id not in self.calendars:
            raise not_found()
        return calendar_id

    def create(self, calendar_id: str, given: Any) -> Kept:
        """Create an event; the repetition of a create returns what that made. Raises `Refused`."""
        body, transaction = shape.settled(None, given), given.get("transactionId")
        if transaction in self.used:
            return self._repeated(self.used[transaction], given)
        series = recurrence.check(given["recurrence"]) if given.get("recurrence") else None
        kept = Kept(
            event_id=f"AAkALg{secrets.token_urlsafe(18)}=",
            calendar=self.calendar(calendar_id),
            body=body,
            transaction_id=transaction,
            asked=deepcopy(given),
            properties=shape.properties(given),
            recurrence=dict(series) if series else None,
            created=times.stamp(self.clock.now()),
        )
        if transaction:
            self.used[transaction] = kept.event_id
        self.events[kept.event_id] = kept
        self._changed("created", kept)
        return kept

    def update(self, key: Key, given: Any) -> Kept:
        """Change an event, a series, or one day of a series, which then is an exception."""
        kept = self.get(key)
        if not key.day and isinstance(given, dict) and "recurrence" in given:
            self._recur(kept, given["recurrence"])
            given = {name: value for name, value in given.items() if name != "recurrence"}
        if key.day:
            kept.exceptions[key.day] = shape.settled(self.body(key), given)
            kept.own_properties.setdefault(key.day, {}).update(shape.properties(given))
        else:
            kept.body = shape.settled(kept.body, given)
            kept.properties |= shape.properties(given)
        self._changed("updated", kept)
        return kept

    def delete(self, key: Key) -> None:
        """Delete an event or a series, or cancel one day of a series."""
        kept = self.get(key)
        if key.day:
            kept.cancelled.append(key.day)
            kept.exceptions.pop(key.day, None)
            self._changed("updated", kept)
            return
        del self.events[kept.event_id]
        self._changed("deleted", kept)

    def touch(self, key: Key, **changes: Any) -> Kept:
        """Change what only Outlook itself can: `calendar`, `is_cancelled`, `is_organizer`, `moves`."""
        kept = self.get(key)
        for name, value in changes.items():
            setattr(kept, name, value)
        self._changed("updated", kept)
        return kept

    def get(self, key: Key) -> Kept:
        """Return an event or the series of an instance. Raises `Refused`."""
        kept = self.events.get(key.event_id)
        if kept is None or (key.day and not self._takes_place(kept, key.day)):
            raise not_found()
        return kept

    def body(self, key: Key) -> Json:
        """Return what an event or an instance says."""
        kept = self.events[key.event_id]
        if not key.day:
            return kept.body
        return kept.exceptions.get(key.day) or _on(kept.body, date.fromisoformat(key.day))

    def properties(self, key: Key) -> dict[str, str]:
        """Return the extended properties of an event; an instance has its series' and its own."""
        kept = self.events[key.event_id]
        return kept.properties | kept.own_properties.get(key.day, {})

    def in_calendar(self, calendar_id: str) -> list[Kept]:
        """Return the events and series of a calendar."""
        return [kept for kept in self.events.values() if kept.calendar == self.calendar(calendar_id)]

    def view(self, calendar_id: str, start: datetime, end: datetime) -> dict[Key, int]:
        """Return what lies in a window, series with their instances, each with when it changed last."""
        found: dict[Key, int] = {}
        for kept in self.in_calendar(calendar_id):
            own = Key(kept.event_id)
            inside = [key for key in self._parts(kept, end) if _overlaps(self.body(key), start, end)]
            keys = [own, *inside] if kept.recurrence and inside else inside
            found |= dict.fromkeys(keys, kept.number)
        return found

    def instances(self, key: Key, start: datetime, end: datetime) -> list[Key]:
        """Return the instances of a series in a window."""
        kept = self.get(Key(key.event_id))
        if not kept.recurrence:
            raise invalid("The event is no series.", "ErrorInvalidRequest")
        return [part for part in self._parts(kept, end) if _overlaps(self.body(part), start, end)]

    def _recur(self, kept: Kept, rule: Any) -> None:
        """Let an event take place on other days too, or no longer."""
        kept.recurrence = dict(recurrence.check(rule)) if rule else None
        kept.exceptions, kept.cancelled, kept.own_properties = {}, [], {}

    def _parts(self, kept: Kept, until: datetime) -> Iterator[Key]:
        if not kept.recurrence:
            yield Key(kept.event_id)
            return
        for day in recurrence.days(kept.recurrence, until.date()):
            if day.isoformat() not in kept.cancelled:
                yield Key(kept.event_id, day.isoformat())

    def _takes_place(self, kept: Kept, day: str) -> bool:
        if kept.recurrence is None or day in kept.cancelled:
            return False
        wanted = date.fromisoformat(day)
        return wanted in recurrence.days(kept.recurrence, wanted)

    def _repeated(self, event_id: str, given: Json) -> Kept:
        kept = self.events.get(event_id)
        if kept is None or kept.asked != given:
            message = "The TransactionId has already been used to create a different event."
            raise Refused(409, "ErrorDuplicateTransactionId", message)
        return kept

    def _changed(self, what: str, kept: Kept) -> None:
        self.number += 1
        kept.number, kept.modified = self.number, times.stamp(self.clock.now())
        self._fired.append((what, kept))


def _on(body: Json, day: date) -> Json:
    """Return what a series says on one of its days: the same local time, whatever the season."""
    start, end = datetime.fromisoformat(body["start"]), datetime.fromisoformat(body["end"])
    if body["isAllDay"]:
        moved = datetime.combine(day, start.time())
    else:
        local = times.shown(start, body["startZone"], floating=False)["dateTime"]
        wanted = {"dateTime": f"{day.isoformat()}{local[10:]}", "timeZone": body["startZone"]}
        moved, _ = times.read(wanted, "start", floating=False)
    return {**body, "start": moved.isoformat(), "end": (moved + (end - start)).isoformat()}


def _overlaps(body: Json, start: datetime, end: datetime) -> bool:
    begins, ends = datetime.fromisoformat(body["start"]), datetime.fromisoformat(body["end"])
    return begins < end and (ends > start or begins == ends == start)
