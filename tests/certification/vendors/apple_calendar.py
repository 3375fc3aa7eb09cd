"""Apple Calendar: Radicale, a real CalDAV server, and a couple who keep one calendar in it."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit
from xml.etree import ElementTree as ET

import aiohttp

from tests.certification.bench import Account, OpenAccount, an_event
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
        """Delete an event."""
        await self._call("DELETE", record)

    async def texts(self) -> Mapping[str, str]:
        """Return the titles."""
        kept = {path.name: path.read_bytes().decode() for path in self._kept.glob("*.ics")}
        return {name: found[1] for name, text in kept.items() if (found := _SUMMARY.search(text))}

    def values(self, text: str) -> Mapping[str, FieldValue]:
        """Return an event at a time of its own."""
        return an_event(text)

    async def _call(self, method: str, name: str, body: str = "") -> None:
        url = self._url + name
        async with aiohttp.request(method, url, data=body.encode(), headers=self._headers) as answer:
            assert answer.status < 300, await answer.text()
