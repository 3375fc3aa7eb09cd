"""Push channels on a real PostgreSQL: sealed, tended by one, and a wake-up that no poll swallows."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

from services.gateway.channels import ENDING_SECONDS, Kept
from services.gateway.store.channels import DuePush
from services.gateway.store.polls import DueLink, Progress
from services.gateway.vendors.port import Channel
from tests.support.database import MigratedDatabase
from tests.support.gateway_store import Stores, Tenant, new_tenant, opened_stores
from wedsync.clock import SystemClock
from wedsync.model.ids import new_id

SECRET = "a-secret-of-the-channel"
PUSHING = {"tave"}


def a_channel(tenant: Tenant, name: str = "", *, days: float = 7, opened: bool = True) -> Kept:
    """Return a channel of the tenant's link."""
    now = SystemClock().now()
    channel = Channel(
        channel_id=name or new_id(),
        secret=SECRET,
        ends_at=now + timedelta(days=days),
        native={"resource_id": "r-of-the-channel"},
    )
    return Kept(
        id=new_id(),
        link_id=tenant.link.link_id,
        channel=channel,
        address="https://wedsync.test/hook",
        created_at=now,
        opened=opened,
    )


async def due(stores: Stores) -> list[DuePush]:
    """Claim what is due."""
    return await stores.channels.claim(PUSHING, 10)


async def test_a_channel_is_stored_sealed_and_found_by_its_name(stores: Stores, tenant: Tenant) -> None:
    """Secret, address and resource are in no column; it comes back whole, within its account only."""
    kept = a_channel(tenant, "c1")
    await stores.channels.keep(tenant.link, kept)
    rows = stores.sql(
        "SELECT c::text || encode(channel, 'escape') AS line FROM gateway.push_channels c WHERE id = %s",
        kept.id,
    )
    for hidden in (SECRET, "wedsync.test", "r-of-the-channel"):
        assert hidden not in rows[0]["line"]
    organization, account = tenant.link.organization_id, tenant.link.integration_id
    assert await stores.channels.find(organization, account, {"c1", "c2"}) == [kept]
    assert await stores.channels.find(organization, new_id(), {"c1"}) == []
    assert await stores.channels.find("another", account, {"c1"}) == []


async def test_a_proposal_becomes_the_channel_it_was_granted(stores: Stores, tenant: Tenant) -> None:
    """Keeping it again changes name, end and what ends it; forgotten it proves nothing any more."""
    proposed = a_channel(tenant, "ours", opened=False)
    await stores.channels.keep(tenant.link, proposed)
    granted = replace(proposed, channel=a_channel(tenant, "theirs", days=1).channel, opened=True)
    await stores.channels.keep(tenant.link, granted)
    assert await stores.channels.of_link(tenant.link) == [granted]
    await stores.channels.forget(tenant.link, granted)
    assert await stores.channels.of_link(tenant.link) == []


async def test_a_channel_that_has_ended_is_not_found(stores: Stores, tenant: Tenant) -> None:
    """What comes by it late is not believed."""
    ended = a_channel(tenant, days=-1)
    await stores.channels.keep(tenant.link, ended)
    names = {ended.channel.channel_id}
    owner = tenant.link.organization_id, tenant.link.integration_id
    assert await stores.channels.find(*owner, names) == []
    assert await stores.channels.of_link(tenant.link) == [ended]


async def test_a_links_channels_are_tended_by_one(
    stores: Stores, tenant: Tenant, migrated_database: MigratedDatabase
) -> None:
    """A due link is claimed by one of many replicas, again after a crash, and of vendors that push only."""
    assert await stores.channels.claim({"slack"}, 10) == []
    async with opened_stores(migrated_database) as other:
        claims = await asyncio.gather(*(due(replica) for _ in range(4) for replica in (stores, other)))
    mine = [each for share in claims for each in share if each.link.link_id == tenant.link.link_id]
    assert [(each.failures, list(each.kept)) for each in mine] == [(0, [])]
    stores.leases_end()
    assert tenant.link.link_id in [each.link.link_id for each in await due(stores)]


async def test_what_was_found_out_is_kept_with_the_link(stores: Stores, tenant: Tenant) -> None:
    """Why there is no channel, how often that was so, and until when the link is pushed."""
    await stores.channels.looked(await claimed(stores, tenant), seconds=0, failures=2, reason="busy")
    again = await claimed(stores, tenant)
    assert (again.failures, again.link.push_reason, again.link.pushed_until) == (2, "busy", None)
    kept = a_channel(tenant)
    await stores.channels.keep(tenant.link, kept)
    await stores.channels.keep(tenant.link, a_channel(tenant, days=9, opened=False))
    await stores.channels.looked(again, seconds=3600, failures=0, reason="")
    link = await stores.links.find_link([tenant.link.organization_id], tenant.link.link_id)
    assert link is not None
    assert (link.push_reason, link.pushed_until) == ("", kept.channel.ends_at)
    assert tenant.link.link_id not in [each.link.link_id for each in await due(stores)]


async def test_a_link_paused_meanwhile_is_looked_at_again(stores: Stores, tenant: Tenant) -> None:
    """Pausing makes the link's channels due at once, also while somebody tends them."""
    working = await claimed(stores, tenant)
    await stores.links.set_state(tenant.link, active=False, reason="by request")
    await stores.channels.looked(working, seconds=3600, failures=0, reason="")
    again = await claimed(stores, tenant)
    assert not again.link.active


async def test_a_channel_that_says_its_end_is_looked_at_at_once(stores: Stores, tenant: Tenant) -> None:
    """It is believed a little longer, never longer than it was granted, and its link is due."""
    long, short = a_channel(tenant), a_channel(tenant, days=0)
    for kept in (long, short):
        await stores.channels.keep(tenant.link, kept)
    await stores.channels.looked(await claimed(stores, tenant), seconds=3600, failures=0, reason="")
    for kept in (long, short):
        await stores.channels.end_soon(tenant.link.organization_id, kept)
    ends = {each.id: each.channel.ends_at for each in (await claimed(stores, tenant)).kept}
    left = ends[long.id] - SystemClock().now()
    assert timedelta(0) < left < timedelta(seconds=ENDING_SECONDS + 1)
    assert ends[short.id] == short.channel.ends_at


async def test_a_wake_up_during_a_poll_makes_one_more(stores: Stores, tenant: Tenant) -> None:
    """What moved after the scan had read is not left to the next interval; one poll sees all of it."""
    polling = await polled(stores, tenant)
    for _ in range(3):
        await stores.links.poll_now(tenant.link)
    await looked(stores, polling, 1)
    again = await polled(stores, tenant)
    assert again.cursor == {"n": 1}
    await looked(stores, again, 2)
    assert tenant.link.link_id not in [each.link.link_id for each in await stores.polls.claim(10)]


async def test_a_notification_keeps_the_links_it_wakes(stores: Stores, tenant: Tenant) -> None:
    """They come back with the webhook, in this replica or the next."""
    wakes = (tenant.link.link_id, new_id())
    arrival = tenant.arrival(wakes=wakes)
    await stores.inbound.accept([arrival, tenant.arrival()])
    claims = {each.webhook_id: tuple(each.wakes) for each in await stores.inbound.claim(10)}
    assert claims[arrival.webhook_id] == wakes
    assert sorted(claims.values()) == sorted([wakes, ()])


async def test_channels_of_other_tenants_are_out_of_reach(stores: Stores, tenant: Tenant) -> None:
    """Neither read nor removed with another organization's scope."""
    kept, other = a_channel(tenant), await new_tenant(stores)
    await stores.channels.keep(tenant.link, kept)
    stranger = replace(other.link, link_id=tenant.link.link_id)
    assert await stores.channels.of_link(stranger) == []
    await stores.channels.forget(stranger, kept)
    assert await stores.channels.of_link(tenant.link) == [kept]


async def claimed(stores: Stores, tenant: Tenant) -> DuePush:
    """Claim the tenant's link among those that are due for tending."""
    stores.leases_end()
    return next(each for each in await due(stores) if each.link.link_id == tenant.link.link_id)


async def polled(stores: Stores, tenant: Tenant) -> DueLink:
    """Claim the tenant's link among those that are due for a poll."""
    [found] = [d for d in await stores.polls.claim(10) if d.link.link_id == tenant.link.link_id]
    return found


async def looked(stores: Stores, due: DueLink, cursor: int) -> None:
    """End a look that is to be repeated in an hour."""
    progress = Progress(cursor={"n": cursor}, started_at=due.due_at, records=0, pages=1)
    await stores.polls.finish(due, progress, pause=3600, seconds=3600)
