"""One running system for all end-to-end tests, and a wedding of each test's own."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import aiohttp
import pytest

from tests.support.people import Couple, Photographer
from tests.support.processes import eventually, mentioning
from tests.support.stack import Clients, Stack, clients, running_stack
from wedsync.api.sync.v1 import change_pb2
from wedsync.client.sync import wedding_message

WAIT_SECONDS = 30.0

Seen = TypeVar("Seen")


async def until(look: Callable[[], Awaitable[Seen]], what: str, seconds: float = WAIT_SECONDS) -> Seen:
    """Return the first true thing that `look` sees; fail, saying what was waited for."""
    deadline = time.monotonic() + seconds
    while True:
        seen = await look()
        if seen:
            return seen
        assert time.monotonic() < deadline, f"not within {seconds:.0f} s: {what}"
        await asyncio.sleep(0.05)


@dataclass(frozen=True)
class Wedding:
    """A wedding whose photographer uses Tave and whose couple keeps a calendar."""

    wedding_id: str
    clients: Clients
    photographer: Photographer
    couple: Couple
    webhook_path: str
    links: dict[str, str]
    """Link ids by vendor."""

    async def log(self) -> list[change_pb2.LoggedChange]:
        """Return the wedding's whole log."""
        return [change async for change in self.clients.sync.list_changes(self.wedding_id)]

    async def in_calendar(self, title: str) -> Any:
        """Wait until the calendar shows an event of that title; return it."""

        async def look() -> Any:
            return (await self.couple.events()).get(title)

        return await until(look, f"the calendar shows {title!r}")

    async def in_tave(self, name: str) -> dict[str, Any]:
        """Wait until Tave shows an event of that name; return it."""

        async def look() -> dict[str, Any] | None:
            return (await self.photographer.events()).get(name)

        found = await until(look, f"Tave shows {name!r}")
        assert found is not None
        return found

    async def quiet(self) -> None:
        """Wait until nothing is under way: no delivery due, and both vendors looked at twice since."""

        async def nothing_due() -> bool:
            due = self.clients.gateway.list_deliveries(self.wedding_id, state="due")
            return not [delivery async for delivery in due]

        for _ in range(2):
            before = await self._scanned()

            async def looked_again(before: dict[str, int] = before) -> bool:
                return all(at > before[vendor] for vendor, at in (await self._scanned()).items())

            await until(looked_again, "both vendors are looked at again")
            await until(nothing_due, "no delivery is due")

    async def paused(self, *, paused: bool) -> None:
        """Stop reading and writing both vendors, or go on."""
        for link_id in self.links.values():
            if paused:
                await self.clients.gateway.pause_link(link_id)
            else:
                await self.clients.gateway.resume_link(link_id)

    async def _scanned(self) -> dict[str, int]:
        links = await self.clients.gateway.list_links(self.wedding_id)
        return {link.vendor: link.scan_time.ToNanoseconds() for link in links}


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The whole system; at its end no process of it may be left."""
    home: Path = tmp_path_factory.mktemp("e2e") / "home"
    with running_stack(home) as running:
        yield running
    assert running.process.returncode == 0
    eventually(lambda: not mentioning(str(home)), 10, "no process of the system is left")


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    """An HTTP session of people outside."""
    async with aiohttp.ClientSession() as opened:
        yield opened


@pytest.fixture
async def wedding(stack: Stack, session: aiohttp.ClientSession) -> AsyncIterator[Wedding]:
    """A fresh wedding linked to a fresh job and a fresh calendar, both already looked at once."""
    account = json.loads((stack.home / "sandbox" / "radicale" / "account.json").read_text())
    account["url"] = stack.run["sandbox"]["radicale"]
    async with clients(stack) as opened:
        created = await opened.sync.create_wedding(
            wedding_message("Okafor & Lindqvist", "2027-06-12", "America/New_York")
        )
        photographer = await Photographer(stack.run["sandbox"]["tave"], session).open_job("Okafor")
        couple = await Couple(account).open_calendar(f"wedding {created.wedding_id}")
        yield await _linked(created.wedding_id, opened, photographer, couple)
        for link in await opened.gateway.list_links(created.wedding_id):
            await opened.gateway.pause_link(link.link_id)


async def _linked(wedding_id: str, opened: Clients, photographer: Photographer, couple: Couple) -> Wedding:
    tave = await opened.gateway.connect_vendor(
        "tave", credentials={"api_key": "sandbox-key"}, base_url=photographer.base_url
    )
    credentials = {name: couple.account[name] for name in ("username", "password")}
    calendar = await opened.gateway.connect_vendor(
        "apple_calendar", credentials=credentials, base_url=couple.account["url"]
    )
    links = [
        await opened.gateway.link_wedding(
            wedding_id, tave.integration.integration_id, scope={"job_id": photographer.job_id}
        ),
        await opened.gateway.link_wedding(
            wedding_id, calendar.integration.integration_id, scope={"calendar_url": couple.calendar_url}
        ),
    ]
    wedding = Wedding(
        wedding_id=wedding_id,
        clients=opened,
        photographer=photographer,
        couple=couple,
        webhook_path=tave.webhook_path,
        links={link.vendor: link.link_id for link in links},
    )

    async def scanned() -> bool:
        return all(link.HasField("scan_time") for link in await opened.gateway.list_links(wedding_id))

    await until(scanned, "both vendors were looked at once")
    return wedding
