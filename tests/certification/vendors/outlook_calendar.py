"""Outlook: the simulator, and a person who keeps one calendar in it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

from tests.certification.bench import Account, OpenAccount, VendorClock, an_event, oauth2, without
from wedsync.model.items import FieldValue, ItemKind
from wedsync.testing.faults import Answer, Asked
from wedsync.testing.outlook import CALENDAR, Mailbox, Sandbox, running

_START = {"dateTime": "2027-06-12T15:00:00", "timeZone": "Eastern Standard Time"}
_END = {"dateTime": "2027-06-12T15:45:00", "timeZone": "Eastern Standard Time"}


@asynccontextmanager
async def system(_: Path) -> AsyncIterator[OpenAccount]:
    """Nothing is started once: an account is a simulator of its own."""
    yield _account


@asynccontextmanager
async def _account() -> AsyncIterator[OutlookAccount]:
    clock = VendorClock()
    sandbox = Sandbox(mailbox=Mailbox(clock))
    async with running(sandbox) as url:
        yield OutlookAccount(url, sandbox, clock)


class OutlookAccount(Account):
    """A mailbox with an empty calendar."""

    not_records = ("/subscriptions",)

    def __init__(self, url: str, sandbox: Sandbox, clock: VendorClock) -> None:
        self.base_url, self._sandbox, self._clock = url, sandbox, clock
        self.credentials, self.scope = oauth2(url), {"calendar_id": CALENDAR}
        self.hands = {ItemKind.TIMELINE_EVENT: Events(sandbox)}

    def forget_cursors(self) -> None:
        """Let every delta link be too old."""
        self._sandbox.rounds.forget()

    def set_clock(self, ahead: timedelta) -> None:
        """Set the simulator's clock."""
        self._clock.ahead = ahead

    def emptied(self, asked: Asked, answer: Answer) -> Answer:
        """A list has a `value`."""
        return without(answer, "value")


class Events:
    """Works in the calendar."""

    field = "title"
    cannot: Mapping[str, str] = {}

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox

    async def make(self, text: str) -> str:
        """Make an event."""
        return self._sandbox.add(subject=text, start=_START, end=_END)

    async def edit(self, record: str, text: str) -> None:
        """Rename an event."""
        self._sandbox.change(record, subject=text)

    async def remove(self, record: str) -> None:
        """Delete an event."""
        self._sandbox.remove(record)

    async def texts(self) -> Mapping[str, str]:
        """Return the titles."""
        return {event["id"]: event["subject"] for event in self._sandbox.events()}

    def values(self, text: str) -> Mapping[str, FieldValue]:
        """Return an event at a time of its own."""
        return an_event(text)
