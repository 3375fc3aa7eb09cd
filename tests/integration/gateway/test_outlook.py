"""Outlook behind a whole gateway: subscribed, told, let in by tokens that end."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
from yarl import URL

from tests.support.database import MigratedDatabase
from tests.support.fake_sync import FakeSync
from tests.support.gateway_process import Gateway, Linked, Secrets, built_gateway, until
from tests.support.outlook_bench import DINNER
from wedsync.clock import SystemClock
from wedsync.runtime.embedded.local import free_port
from wedsync.testing.oauth2 import CLIENT_ID, CLIENT_SECRET, REFRESH_TOKEN
from wedsync.testing.outlook import CALENDAR, Mailbox, Sandbox, running


@dataclass
class Outlook:
    """A mailbox, and the people who use it."""

    sandbox: Sandbox
    url: str

    @property
    def subscribed(self) -> set[str]:
        """Return the ids of the subscriptions that last."""
        return {kept.id for kept in self.sandbox.subscriptions.alive()}

    async def link(self, gateway: Gateway, wedding_id: str) -> Linked:
        """Link the calendar to a wedding, and wait until it is subscribed."""
        linked = await gateway.connect(
            wedding_id,
            "outlook_calendar",
            base_url=self.url,
            credentials={
                "client_id": CLIENT_ID,
                "client_secret": CLIENT_SECRET,
                "refresh_token": REFRESH_TOKEN,
                "token_url": f"{URL(self.url).origin()}/token",
            },
            scope={"calendar_id": CALENDAR},
        )
        query = "SELECT 1 FROM gateway.wedding_vendor_integrations WHERE id = %s AND next_poll_at > now()"
        await until(lambda: self.subscribed and gateway.sql(query, linked.link_id), "it is subscribed")
        return linked


@pytest.fixture
async def outlook() -> AsyncIterator[Outlook]:
    """An empty mailbox."""
    sandbox = Sandbox(mailbox=Mailbox(SystemClock()))
    async with running(sandbox) as url:
        yield Outlook(sandbox, url)


@pytest.fixture
async def told(database: MigratedDatabase, secrets: Secrets, sync: FakeSync) -> AsyncIterator[Gateway]:
    """A gateway that Outlook reaches, and that polls once only: what it learns later, it is told."""
    port = free_port()
    reached = {"http_port": port, "public_url": f"http://127.0.0.1:{port}", "vendor_poll_seconds": 3600}
    async with built_gateway(database, secrets, sync, **reached) as built:
        yield built


async def test_what_moves_is_told_and_arrives(told: Gateway, outlook: Outlook, wedding_id: str) -> None:
    """Events that people add, rename and delete arrive without a poll being due, each once."""
    await outlook.link(told, wedding_id)
    event = outlook.sandbox.add(**DINNER)
    await until(lambda: told.sync.titles() == {"Dinner"}, "the new event arrives")
    outlook.sandbox.change(event, subject="Supper")
    await until(lambda: told.sync.titles() == {"Supper"}, "the new name arrives")
    outlook.sandbox.remove(event)
    await until(lambda: told.sync.titles() == set(), "the delete arrives")
    assert len(told.sync.received) == 3


async def test_a_subscription_that_is_removed_is_made_anew(
    told: Gateway, outlook: Outlook, wedding_id: str
) -> None:
    """Outlook says so, the next one is made, and what moves by then arrives."""
    await outlook.link(told, wedding_id)
    before = outlook.subscribed
    outlook.sandbox.subscriptions.lifecycle("subscriptionRemoved")
    await until(lambda: outlook.subscribed - before, "there is another subscription")
    outlook.sandbox.add(**DINNER)
    await until(lambda: told.sync.titles() == {"Dinner"}, "the event arrives")


async def test_a_token_that_ends_is_renewed_within_a_look(
    told: Gateway, outlook: Outlook, wedding_id: str
) -> None:
    """One refresh, and the edit arrives; a consent that is withdrawn pauses the link and says what to do."""
    linked = await outlook.link(told, wedding_id)
    authority = outlook.sandbox.authority
    assert authority.refreshes == 1
    told.sql("UPDATE gateway.access_tokens SET refreshed_at = now() - interval '2 minutes'")
    authority.access.clear()
    outlook.sandbox.add(**DINNER)
    await until(lambda: told.sync.titles() == {"Dinner"}, "the event arrives")
    assert authority.refreshes == 2
    told.sql("UPDATE gateway.access_tokens SET refreshed_at = now() - interval '2 minutes'")
    authority.revoke()
    outlook.sandbox.add(**DINNER)
    await until(lambda: _paused(linked), "the link says to connect again")
    assert authority.refreshes <= 4  # once for the newest refresh token, once for the one before


async def _paused(linked: Linked) -> bool:
    return "Connect the account again" in (await linked.state()).reason
