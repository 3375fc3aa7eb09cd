"""Apple Calendar: Radicale, a real CalDAV server, and a couple who keep one calendar in it."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import cast
from urllib.parse import urlsplit
from xml.etree import ElementTree as ET
from zoneinfo import ZoneInfo

import aiohttp
import icalendar
import recurring_ical_events

from tests.certification.bench import Account, OpenAccount, an_event
from tests.certification.calendars import DAY, LASTS, Place, canonical, local
from wedsync.model.ids import new_id
from wedsync.model.items import FieldValue, ItemKind
from wedsync.testing.faults import Answer, Asked
from wedsync.testing.radicale import RadicaleServer, running_radicale

_SUMMARY = re.compile(r"^SUMMARY:(.*?)\r?$", re.MULTILINE)


@asynccontextmanager
async def system(folder: Path) -> AsyncIterator[OpenAccount]:
    """Start Radicale; an account is one of its calendars."""

    @asynccontextmanager
    async def account() -> AsyncIterator[AppleAccount]:
        name = new_id()
        yield AppleAccount(radicale, name, radicale.create_calendar(name))

    with running_radicale(folder) as radicale:
        yield account


class AppleAccount(Account):
    """The couple's account, and an empty calendar."""

    cannot: Mapping[str, str] = {"set_clock": "Radicale takes the machine's clock"}

    def __init__(self, server: RadicaleServer, name: str, url: str) -> None:
        self.base_url, self._server, self._name = server.url, server, name
        self.credentials = {"username": server.username, "password": server.password}
        self.scope = {"calendar_url": urlsplit(url).path}
        self.hands = {ItemKind.TIMELINE_EVENT: Events(server, name, url)}

    def forget_cursors(self) -> None:
        """Let every sync token be unknown, as after a restore of the server."""
        self._server.forget_sync_tokens(self._name)

    def emptied(self, asked: Asked, answer: Answer) -> Answer:
        """A report on the collection is a list of responses."""
        if b"sync-collection" not in asked.body or answer.status != 207:
            return answer
        root = ET.fromstring(answer.body)  # noqa: S314 - from our own server
        for response in root.findall("{DAV:}response"):
            root.remove(response)
        return replace(answer, body=ET.tostring(root))


class Events:
    """Works in the calendar, with plain HTTP."""

    field = "title"
    cannot: Mapping[str, str] = {}

    def __init__(self, server: RadicaleServer, name: str, url: str) -> None:
        self._url = url
        self._headers = {
            "Authorization": aiohttp.encode_basic_auth(server.username, server.password),
            "Content-Type": "text/calendar; charset=utf-8",
        }
        self._kept = server.data / "storage" / "collection-root" / server.username / name

    async def make(self, text: str) -> str:
        """Put an event into the calendar."""
        name = f"{new_id()}.ics"
        lines = [
            "BEGIN:VCALENDAR",
            "VERSION:2.0",
            "PRODID:-//people//EN",
            "BEGIN:VEVENT",
            f"UID:{name}",
            "DTSTAMP:20270101T000000Z",
            f"SUMMARY:{text}",
            "DTSTART:20270612T190000Z",
            "DTEND:20270612T194500Z",
            "END:VEVENT",
            "END:VCALENDAR",
            "",
        ]
        await self._call("PUT", name, "\r\n".join(lines))
        return name

    async def edit(self, record: str, text: str) -> None:
        """Rename an event."""
        before = (self._kept / record).read_bytes().decode()
        await self._call("PUT", record, _SUMMARY.sub(f"SUMMARY:{text}", before))

    async def remove(self, record: str) -> None:
        """Delete an event, or cancel an instance of a series."""
        name, _, number = record.partition("#")
        await (self._cancel(name, int(number)) if number else self._call("DELETE", name))

    async def texts(self) -> Mapping[str, str]:
        """Return the titles."""
        kept = {path.name: path.read_bytes().decode() for path in self._kept.glob("*.ics")}
        return {name: found[1] for name, text in kept.items() if (found := _SUMMARY.search(text))}

    async def plan(self, title: str, starts_at: str, *, all_day: bool = False, weekly: int = 1) -> str:
        """Put an event, or a series, into the calendar."""
        name = f"{new_id()}.ics"
        event = icalendar.Event()
        event.add("uid", name)
        event.add("dtstamp", datetime(2027, 1, 1, tzinfo=UTC))
        event.add("summary", title)
        _set_times(event, starts_at, all_day=all_day)
        if weekly > 1:
            event.add("rrule", {"freq": "weekly", "count": weekly})
        calendar = icalendar.Calendar()
        calendar.add("version", "2.0")
        calendar.add("prodid", "-//people//EN")
        calendar.add_component(event)
        await self._call("PUT", name, calendar.to_ical().decode())
        return name

    async def recur(self, record: str, weekly: int) -> None:
        """Let an event recur."""
        calendar = self._read(record)
        calendar.events[0].add("rrule", {"freq": "weekly", "count": weekly})
        await self._call("PUT", record, calendar.to_ical().decode())

    async def move(self, record: str, starts_at: str, *, all_day: bool = False) -> None:
        """Let an event, a series or an instance begin at another time."""
        name, _, number = record.partition("#")
        calendar = self._read(name)
        event = calendar.events[0]
        if number:
            # An exception stands beside its series, and says which instance it is instead of.
            event = event.copy(recursive=True)
            event.add("recurrence-id", _start(event) + timedelta(weeks=int(number)))
            del event["rrule"]
            calendar.add_component(event)
        _set_times(event, starts_at, all_day=all_day)
        await self._call("PUT", name, calendar.to_ical().decode())

    def instance(self, series: str, number: int) -> str:
        """Return which instance it is, for ourselves: it has no address of its own."""
        return f"{series}#{number}"

    async def calendar(self) -> list[Place]:
        """Return each event, and each instance of a series, as an independent library has them."""
        kept = [self._read(path.name) for path in self._kept.glob("*.ics")]
        found = [recurring_ical_events.of(each).between((2000, 1, 1), (2100, 1, 1)) for each in kept]
        return [_place(event) for events in found for event in events]

    def _read(self, name: str) -> icalendar.Calendar:
        return icalendar.Calendar.from_ical((self._kept / name).read_bytes())

    async def _cancel(self, name: str, number: int) -> None:
        calendar = self._read(name)
        event = calendar.events[0]
        event.add("exdate", _start(event) + timedelta(weeks=number))
        await self._call("PUT", name, calendar.to_ical().decode())

    def values(self, text: str) -> Mapping[str, FieldValue]:
        """Return an event at a time of its own."""
        return an_event(text)

    async def _call(self, method: str, name: str, body: str = "") -> None:
        url = self._url + name
        async with aiohttp.request(method, url, data=body.encode(), headers=self._headers) as answer:
            assert answer.status < 300, await answer.text()


def _set_times(event: icalendar.Event, starts_at: str, *, all_day: bool) -> None:
    at, zone = local(starts_at)
    start = at.date() if all_day else at.replace(tzinfo=ZoneInfo(zone))
    for name, value in (("dtstart", start), ("dtend", start + (DAY if all_day else LASTS))):
        event.pop(name, None)
        event.add(name, value)


def _start(event: icalendar.Event) -> date:
    return cast("date", event.DTSTART)


def _place(event: icalendar.Event) -> Place:
    start = _start(event)
    if not isinstance(start, datetime):
        return Place(str(event["summary"]), start.isoformat(), all_day=True)
    return Place(str(event["summary"]), canonical(start, str(start.tzinfo)))
