"""Google Calendar: the simulator, and a person who keeps one calendar in it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from tests.certification.bench import Account, OpenAccount, VendorClock, an_event, oauth2, without
from tests.certification.calendars import DAY, LASTS, Place, canonical, local
from wedsync.model.items import FieldValue, ItemKind
from wedsync.testing.faults import Answer, Asked
from wedsync.testing.google_calendar import CALENDAR, Calendar, Sandbox, recurrence, running

_LATEST = datetime(2100, 1, 1, tzinfo=UTC)
_DAY = {"dateTime": "2027-06-12T15:00:00", "timeZone": "America/New_York"}


@asynccontextmanager
async def system(_: Path) -> AsyncIterator[OpenAccount]:
    """Nothing is started once: an account is a simulator of its own."""
    yield _account


@asynccontextmanager
async def _account() -> AsyncIterator[GoogleAccount]:
    clock = VendorClock()
    sandbox = Sandbox(clock)
    async with running(sandbox) as url:
        yield GoogleAccount(url, sandbox, clock)


class GoogleAccount(Account):
    """An account with an empty calendar."""

    not_records = ("/watch", "/channels/")

    def __init__(self, url: str, sandbox: Sandbox, clock: VendorClock) -> None:
        self.base_url, self._sandbox, self._clock = url, sandbox, clock
        self.credentials, self.scope = oauth2(url), {"calendar_id": CALENDAR}
        self.hands = {ItemKind.TIMELINE_EVENT: Events(sandbox.calendars[CALENDAR])}

    def forget_cursors(self) -> None:
        """Let every sync token be too old."""
        self._sandbox.forget_tokens()

    def set_clock(self, ahead: timedelta) -> None:
        """Set the simulator's clock."""
        self._clock.ahead = ahead

    def emptied(self, asked: Asked, answer: Answer) -> Answer:
        """A list of events has `items`."""
        return without(answer, "items")


class Events:
    """Works in the calendar."""

    field = "title"
    cannot: Mapping[str, str] = {}

    def __init__(self, calendar: Calendar) -> None:
        self._calendar = calendar

    async def make(self, text: str) -> str:
        """Make an event."""
        return str(self._calendar.insert({"summary": text, "start": _DAY, "end": _DAY})["id"])

    async def edit(self, record: str, text: str) -> None:
        """Rename an event."""
        self._calendar.patch(record, {"summary": text})

    async def remove(self, record: str) -> None:
        """Delete an event."""
        self._calendar.delete(record)

    async def texts(self) -> Mapping[str, str]:
        """Return the titles."""
        events = self._calendar.events.values()
        return {event["id"]: event["summary"] for event in events if event["status"] != "cancelled"}

    async def plan(self, title: str, starts_at: str, *, all_day: bool = False, weekly: int = 1) -> str:
        """Make an event, or a series."""
        span = _span(starts_at, all_day=all_day)
        given = {name: {k: v for k, v in time.items() if v is not None} for name, time in span.items()}
        made = self._calendar.insert({"summary": title, **given})
        if weekly > 1:
            await self.recur(made["id"], weekly)
        return str(made["id"])

    async def recur(self, record: str, weekly: int) -> None:
        """Let an event recur."""
        self._calendar.patch(record, {"recurrence": [f"RRULE:FREQ=WEEKLY;COUNT={weekly}"]})

    async def move(self, record: str, starts_at: str, *, all_day: bool = False) -> None:
        """Let it begin at another time."""
        self._calendar.patch(record, _span(starts_at, all_day=all_day))

    def instance(self, series: str, number: int) -> str:
        """Return the id of an instance as the series has it."""
        found = islice(recurrence.instances(self._calendar.events[series]), number, None)
        return str(next(found)["id"])

    async def calendar(self) -> list[Place]:
        """Return each event, and each instance of a series."""
        kept = [event for event in self._calendar.events.values() if event["status"] != "cancelled"]
        single = [e for e in kept if not e.get("recurrence") and not e.get("recurringEventId")]
        series = [self._calendar.instances(e["id"], _LATEST) for e in kept if e.get("recurrence")]
        return [_place(event) for events in (single, *series) for event in events]

    def values(self, text: str) -> Mapping[str, FieldValue]:
        """Return an event at a time of its own."""
        return an_event(text)


def _span(starts_at: str, *, all_day: bool) -> dict[str, Any]:
    at, zone = local(starts_at)
    if all_day:
        days = {"start": at, "end": at + DAY}
        return {name: {"date": f"{day:%Y-%m-%d}", "dateTime": None} for name, day in days.items()}
    times = {"start": at, "end": at + LASTS}
    return {
        name: {"dateTime": time.isoformat(), "timeZone": zone, "date": None} for name, time in times.items()
    }


def _place(event: Mapping[str, Any]) -> Place:
    start = event["start"]
    if "date" in start:
        return Place(event["summary"], start["date"], all_day=True)
    at = datetime.fromisoformat(start["dateTime"]).astimezone(ZoneInfo(start["timeZone"]))
    return Place(event["summary"], canonical(at, start["timeZone"]))
