"""A real CalDAV server behind a whole gateway: lost cursors, mass deletes, refused passwords."""

from __future__ import annotations

import base64
from collections.abc import Iterator

import aiohttp
import pytest

from tests.support.gateway_process import Gateway, Linked, until
from wedsync.api.gateway.v1 import link_pb2
from wedsync.model.ids import new_id
from wedsync.testing.radicale import RadicaleServer, running_radicale


@pytest.fixture(scope="module")
def radicale(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RadicaleServer]:
    """One server; each test has a calendar of its own."""
    with running_radicale(tmp_path_factory.mktemp("radicale")) as server:
        yield server


class Calendar:
    """A calendar and the person who keeps it, with plain HTTP."""

    def __init__(self, server: RadicaleServer) -> None:
        self.server, self.name = server, new_id()
        self.url = server.create_calendar(self.name)
        account = f"{server.username}:{server.password}".encode()
        self._headers = {
            "Authorization": f"Basic {base64.b64encode(account).decode()}",
            "Content-Type": "text/calendar",
        }

    async def put(self, title: str) -> None:
        """Add or change the event of that name."""
        text = (
            "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//test//EN\r\nBEGIN:VEVENT\r\n"
            f"UID:{title}\r\nDTSTAMP:20270101T000000Z\r\nSUMMARY:{title}\r\n"
            "DTSTART:20270612T190000Z\r\nDTEND:20270612T193000Z\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"
        )
        await self._call("PUT", f"{self.url}{title}.ics", text)

    async def delete(self, title: str) -> None:
        """Delete the event of that name."""
        await self._call("DELETE", f"{self.url}{title}.ics", "")

    async def _call(self, method: str, url: str, body: str) -> None:
        async with aiohttp.request(method, url, data=body, headers=self._headers) as answer:
            assert answer.status < 300, await answer.text()

    async def link(self, gateway: Gateway, wedding_id: str) -> Linked:
        """Link the calendar to a wedding."""
        return await gateway.connect(
            wedding_id,
            "apple_calendar",
            base_url=self.server.url,
            credentials={"username": self.server.username, "password": self.server.password},
            scope={"calendar_url": self.url},
        )


@pytest.fixture
def calendar(radicale: RadicaleServer) -> Calendar:
    """An empty calendar."""
    return Calendar(radicale)


async def test_a_lost_cursor_changes_nothing(gateway: Gateway, calendar: Calendar, wedding_id: str) -> None:
    """When the server forgot our sync token, nothing is doubled or deleted, and the next edit arrives."""
    for title in ("vows", "dinner", "dance"):
        await calendar.put(title)
    linked = await calendar.link(gateway, wedding_id)
    await until(lambda: gateway.sync.titles() == {"vows", "dinner", "dance"}, "the calendar is read")
    gateway.sync.received.clear()
    calendar.server.forget_sync_tokens(calendar.name)
    await until(lambda: _cursor_was_lost(linked), "the lost cursor is noticed")
    await calendar.put("toast")
    await until(lambda: "toast" in gateway.sync.titles(), "the next edit arrives")
    await calendar.delete("vows")
    await until(lambda: "vows" not in gateway.sync.titles(), "a true delete arrives")
    assert len(gateway.sync.received) == 2
    assert gateway.sync.titles() == {"dinner", "dance", "toast"}


def _cursor_was_lost(linked: Linked) -> bool:
    rows = linked.gateway.sql(
        "SELECT 1 FROM gateway.integration_sync_log WHERE link_id = %s AND error <> ''", linked.link_id
    )
    return bool(rows)


async def test_a_mass_delete_pauses_the_link(gateway: Gateway, calendar: Calendar, wedding_id: str) -> None:
    """A calendar that is suddenly empty is asked about: nothing is deleted, and the link says why."""
    titles = {f"event-{number}" for number in range(8)}
    for title in titles:
        await calendar.put(title)
    linked = await calendar.link(gateway, wedding_id)
    await until(lambda: gateway.sync.titles() == titles, "the calendar is read")
    async with gateway.client() as client:
        await client.pause_link(linked.link_id)
        for title in titles:
            await calendar.delete(title)
        await client.resume_link(linked.link_id)
    await until(lambda: _paused_by_us(linked), "the link is paused")
    assert "8 of 8 records are suddenly gone" in (await linked.state()).reason
    assert gateway.sync.titles() == titles


async def _paused_by_us(linked: Linked) -> bool:
    return (await linked.state()).state == link_pb2.LINK_STATE_PAUSED


async def test_a_few_deletes_are_believed(gateway: Gateway, calendar: Calendar, wedding_id: str) -> None:
    """Two of four events deleted at once are two deletes."""
    for title in ("a", "b", "c", "d"):
        await calendar.put(title)
    await calendar.link(gateway, wedding_id)
    await until(lambda: gateway.sync.titles() == {"a", "b", "c", "d"}, "the calendar is read")
    for title in ("a", "b"):
        await calendar.delete(title)
    await until(lambda: gateway.sync.titles() == {"c", "d"}, "both deletes arrive")


async def test_a_changed_password_pauses_the_link(
    gateway: Gateway, wedding_id: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """When the vendor refuses our credentials, the link is paused and says to connect again."""
    with running_radicale(tmp_path_factory.mktemp("own")) as server:
        linked = await Calendar(server).link(gateway, wedding_id)
        (server.data / "htpasswd").write_text(f"{server.username}:changed\n")
        await until(lambda: _paused_by_us(linked), "the link is paused")
    reason = (await linked.state()).reason
    assert "Connect the account again" in reason
    assert server.password not in reason


async def test_an_edit_does_not_go_back_to_where_it_came_from(
    gateway: Gateway, calendar: Calendar, wedding_id: str
) -> None:
    """What the sync service commits of the calendar's edit is no write back to the calendar."""
    await calendar.put("vows")
    await calendar.link(gateway, wedding_id)
    await until(lambda: gateway.sync.titles() == {"vows"}, "the calendar is read")
    gateway.sync.received.clear()
    await gateway.accept(*gateway.sync.commits)
    await until(lambda: _settled(gateway, wedding_id), "the delivery is settled")
    assert gateway.sync.received == []
    [delivery] = await gateway.deliveries(wedding_id)
    assert delivery.state == "nothing_to_do"


async def _settled(gateway: Gateway, wedding_id: str) -> bool:
    every = await gateway.deliveries(wedding_id)
    return bool(every) and all(delivery.state != "due" for delivery in every)
