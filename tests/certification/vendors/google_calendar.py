"""Google Calendar: the simulator, and a person who keeps one calendar in it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

from tests.certification.bench import Account, OpenAccount, VendorClock, an_event, oauth2, without
from wedsync.model.items import FieldValue, ItemKind
from wedsync.testing.faults import Answer, Asked
from wedsync.testing.google_calendar import CALENDAR, Calendar, Sandbox, running

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

    def values(self, text: str) -> Mapping[str, FieldValue]:
        """Return an event at a time of its own."""
        return an_event(text)
