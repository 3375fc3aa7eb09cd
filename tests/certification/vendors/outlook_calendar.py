"""Outlook: the simulator, and a person who keeps one calendar in it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from tzlocal.windows_tz import win_tz

from tests.certification.bench import Account, OpenAccount, VendorClock, an_event, oauth2, without
from tests.certification.calendars import DAY, LASTS, Place, canonical, local
from wedsync.model.items import FieldValue, ItemKind
from wedsync.testing.faults import Answer, Asked
from wedsync.testing.outlook import CALENDAR, Mailbox, Sandbox, running
from wedsync.testing.outlook.mailbox import Key

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

    async def plan(self, title: str, starts_at: str, *, all_day: bool = False, weekly: int = 1) -> str:
        """Make an event, or a series."""
        made = self._sandbox.add(subject=title, **_span(starts_at, all_day=all_day))
        if weekly > 1:
            await self.recur(made, weekly)
        return made

    async def recur(self, record: str, weekly: int) -> None:
        """Let an event recur."""
        day = self._start(Key(record))[0].date()
        range_ = {"type": "numbered", "startDate": day.isoformat(), "numberOfOccurrences": weekly}
        self._sandbox.change(
            record, recurrence={"pattern": {"type": "weekly", "interval": 1}, "range": range_}
        )

    async def move(self, record: str, starts_at: str, *, all_day: bool = False) -> None:
        """Let it begin at another time."""
        self._sandbox.change(record, **_span(starts_at, all_day=all_day))

    def instance(self, series: str, number: int) -> str:
        """Return the id of an instance: the day on which the series has it."""
        return f"{series}~o{self._start(Key(series))[0].date() + timedelta(weeks=number)}"

    async def calendar(self) -> list[Place]:
        """Return each event, and each instance of a series."""
        keys = self._sandbox.mailbox.view(CALENDAR, datetime(2000, 1, 1), datetime(2100, 1, 1))  # noqa: DTZ001
        events = self._sandbox.mailbox.events
        return [self._place(key) for key in keys if key.day or not events[key.event_id].recurrence]

    def _place(self, key: Key) -> Place:
        body, (at, zone) = self._sandbox.mailbox.body(key), self._start(key)
        if body["isAllDay"]:
            return Place(body["subject"], at.date().isoformat(), all_day=True)
        return Place(body["subject"], canonical(at, zone))

    def _start(self, key: Key) -> tuple[datetime, str]:
        body = self._sandbox.mailbox.body(key)
        at, zone = datetime.fromisoformat(body["start"]), win_tz.get(body["startZone"]) or "UTC"
        return (at if body["isAllDay"] else at.replace(tzinfo=UTC).astimezone(ZoneInfo(zone))), zone

    def values(self, text: str) -> Mapping[str, FieldValue]:
        """Return an event at a time of its own."""
        return an_event(text)


def _span(starts_at: str, *, all_day: bool) -> dict[str, Any]:
    at, zone = local(starts_at)
    times = {"start": at, "end": at + (DAY if all_day else LASTS)}
    shown = {name: {"dateTime": time.isoformat(), "timeZone": zone} for name, time in times.items()}
    return {**shown, "isAllDay": all_day}
