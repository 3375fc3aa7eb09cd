"""A Google calendar behind a whole gateway: told by channel, renewed, and polled where there is none."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

import aiohttp
import pytest
from yarl import URL

from tests.support.database import MigratedDatabase
from tests.support.fake_sync import FakeSync
from tests.support.gateway_process import Gateway, Linked, Secrets, built_gateway, until
from wedsync.clock import SystemClock
from wedsync.runtime.embedded.local import free_port
from wedsync.testing.google_calendar import CALENDAR, Calendar, Sandbox, running
from wedsync.testing.oauth2 import CLIENT_ID, CLIENT_SECRET, REFRESH_TOKEN

RARELY = {"vendor_poll_seconds": 3600}


@dataclass
class Google:
    """An account with a calendar, and the people who use it."""

    sandbox: Sandbox
    url: str

    @property
    def calendar(self) -> Calendar:
        """What the people see."""
        return self.sandbox.calendar(CALENDAR)

    def add(self, title: str) -> str:
        """Add an event."""
        start = {"dateTime": "2027-06-12T15:00:00+02:00", "timeZone": "Europe/Paris"}
        return str(self.calendar.insert({"summary": title, "start": start, "end": start})["id"])

    def titles(self) -> set[str]:
        """Return what is in the calendar."""
        return {event["summary"] for event in self.calendar.events.values() if event["status"] == "confirmed"}

    @property
    def watches(self) -> list[str]:
        """Return the ids of the channels that are open."""
        return list(self.sandbox.channels.watches)

    async def link(self, gateway: Gateway, wedding_id: str) -> Linked:
        """Link the calendar to a wedding."""
        return await gateway.connect(
            wedding_id,
            "google_calendar",
            base_url=self.url,
            credentials={
                "client_id": CLIENT_ID,
                "client_secret": CLIENT_SECRET,
                "refresh_token": REFRESH_TOKEN,
                "token_url": f"{URL(self.url).origin()}/token",
            },
            scope={"calendar_id": CALENDAR},
        )


@pytest.fixture
async def google() -> AsyncIterator[Google]:
    """An empty calendar."""
    sandbox = Sandbox(SystemClock())
    async with running(sandbox) as url:
        yield Google(sandbox, url)


@pytest.fixture
async def told(database: MigratedDatabase, secrets: Secrets, sync: FakeSync) -> AsyncIterator[Gateway]:
    """A gateway that vendors reach, and that polls once only: what it learns later, it is told."""
    port = free_port()
    reached = {"http_port": port, "public_url": f"http://127.0.0.1:{port}"}
    async with built_gateway(database, secrets, sync, **RARELY, **reached) as built:
        yield built


def pushed(linked: Linked) -> bool:
    """Say whether the link has a channel that is open, and its polls after that are done."""
    rows = linked.gateway.sql(
        "SELECT pushed_until > now() AND next_poll_at > now() AS pushed"
        " FROM gateway.wedding_vendor_integrations WHERE id = %s",
        linked.link_id,
    )
    return bool(rows[0]["pushed"])


async def test_an_edit_is_told_by_channel(told: Gateway, google: Google, wedding_id: str) -> None:
    """Events that people add, rename and delete arrive without a poll being due, each once."""
    google.add("vows")
    linked = await google.link(told, wedding_id)
    await until(lambda: pushed(linked), "a channel is open")
    await until(lambda: told.sync.titles() == {"vows"}, "the calendar is read")
    told.sync.received.clear()
    event = google.add("toast")
    await until(lambda: told.sync.titles() == {"vows", "toast"}, "the new event arrives")
    google.calendar.patch(event, {"summary": "speech"})
    await until(lambda: told.sync.titles() == {"vows", "speech"}, "the new name arrives")
    google.calendar.delete(event)
    await until(lambda: told.sync.titles() == {"vows"}, "the delete arrives")
    assert len(told.sync.received) == 3
    states = [(state, status) for _, state, status in google.sandbox.channels.answers]
    assert states[0] == ("sync", 202)
    assert set(states[1:]) == {("exists", 202)}


async def test_a_notification_says_what_became_of_it(told: Gateway, google: Google, wedding_id: str) -> None:
    """The webhook log says that the vendor was asked; what bears a false token is not even kept."""
    linked = await google.link(told, wedding_id)
    await until(lambda: pushed(linked), "a channel is open")
    google.add("toast")
    [webhook] = await until(lambda: told.webhooks("processed"), "the notification is done")
    assert webhook.reason == "the vendor is asked at once what moved"
    forged = {
        "X-Goog-Channel-ID": google.watches[0],
        "X-Goog-Channel-Token": "guessed",
        "X-Goog-Resource-ID": google.sandbox.channels.watches[google.watches[0]].resource_id,
        "X-Goog-Resource-State": "exists",
        "X-Goog-Message-Number": "99",
    }
    async with aiohttp.request("POST", linked.webhook_url, headers=forged) as answer:
        assert (answer.status, (await answer.json())["code"]) == (401, "CHANNEL_UNKNOWN")
    assert len(await told.webhooks()) == 1


async def test_a_channel_is_renewed_before_it_ends(told: Gateway, google: Google, wedding_id: str) -> None:
    """Near its end a second one is opened, both are believed for a while, and then the first is stopped."""
    linked = await google.link(told, wedding_id)
    await until(lambda: pushed(linked), "a channel is open")
    [first] = google.watches
    _pass_days(told, 6.5)
    await until(lambda: len(google.watches) == 2, "the next channel is open")
    assert first in google.watches
    google.add("vows")
    await until(lambda: told.sync.titles() == {"vows"}, "the event arrives once")
    _pass_days(told, 0.1)
    await until(lambda: first not in google.watches, "the first channel is stopped")
    google.add("toast")
    await until(lambda: told.sync.titles() == {"vows", "toast"}, "the next event arrives")
    assert len(told.sync.received) == 2


async def test_a_paused_link_is_not_told(told: Gateway, google: Google, wedding_id: str) -> None:
    """Its channel is stopped; resumed, it gets another one, and what moved meanwhile arrives."""
    linked = await google.link(told, wedding_id)
    await until(lambda: pushed(linked), "a channel is open")
    async with told.client() as client:
        await client.pause_link(linked.link_id)
        await until(lambda: not google.watches, "the channel is stopped")
        google.add("vows")
        await client.resume_link(linked.link_id)
    await until(lambda: google.watches, "there is a channel again")
    await until(lambda: told.sync.titles() == {"vows"}, "what moved meanwhile arrives")


async def test_a_disconnected_vendor_is_asked_to_tell_no_more(
    told: Gateway, google: Google, wedding_id: str
) -> None:
    """The channel is stopped while the credentials are still known."""
    linked = await google.link(told, wedding_id)
    await until(lambda: pushed(linked), "a channel is open")
    async with told.client() as client:
        [integration] = [each async for each in client.list_integrations()]
        await client.disconnect_vendor(integration.integration_id)
    assert not google.watches
    assert told.sql("SELECT 1 FROM gateway.push_channels WHERE link_id = %s", linked.link_id) == []


async def test_where_no_channel_can_be_had_polling_goes_on(
    database: MigratedDatabase, secrets: Secrets, sync: FakeSync, google: Google, wedding_id: str
) -> None:
    """The link says why it is only polled, stays active, and its edits arrive at the interval."""
    google.sandbox.channels.allow_http = False
    async with built_gateway(database, secrets, sync, public_url="http://127.0.0.1:9") as gateway:
        linked = await google.link(gateway, wedding_id)
        await until(lambda: _says(linked, "push.webhookUrlNotHttps"), "the link says why")
        google.add("vows")
        await until(lambda: sync.titles() == {"vows"}, "the event is polled")
        assert not google.watches


async def test_without_a_public_address_no_channel_is_asked_for(
    gateway: Gateway, google: Google, wedding_id: str
) -> None:
    """The link names the setting that is missing, and its edits arrive at the interval."""
    linked = await google.link(gateway, wedding_id)
    await until(lambda: _says(linked, "WEDSYNC_PUBLIC_URL is not set"), "the link says why")
    google.add("vows")
    await until(lambda: gateway.sync.titles() == {"vows"}, "the event is polled")
    assert google.sandbox.traffic.counts["events.watch"] == 0


async def test_an_edit_does_not_go_back_to_where_it_came_from(
    told: Gateway, google: Google, wedding_id: str
) -> None:
    """What the sync service commits of the calendar's edit is no write back, so the channel falls silent."""
    linked = await google.link(told, wedding_id)
    await until(lambda: pushed(linked), "a channel is open")
    google.add("vows")
    await until(lambda: told.sync.titles() == {"vows"}, "the event arrives")
    await told.accept(*told.sync.commits)
    await until(lambda: _settled(told, wedding_id), "the delivery is settled")
    counts = google.sandbox.traffic.counts
    assert counts["events.patch"] + counts["events.insert"] + counts["events.delete"] == 0


async def _settled(gateway: Gateway, wedding_id: str) -> bool:
    every = await gateway.deliveries(wedding_id)
    return bool(every) and all(delivery.state == "nothing_to_do" for delivery in every)


async def _says(linked: Linked, words: str) -> bool:
    link = await linked.state()
    return words in link.reason and bool(link.state)


def _pass_days(gateway: Gateway, days: float) -> None:
    """Let our channels be so many days older, and due for a look."""
    age = f"{days} days"
    gateway.sql(
        "UPDATE gateway.push_channels c SET created_at = created_at - age, ends_at = ends_at - age"
        " FROM (SELECT %s::interval AS age) passed",
        age,
    )
    gateway.sql("UPDATE gateway.wedding_vendor_integrations SET push_due_at = now()")
