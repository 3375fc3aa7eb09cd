"""The webhook log on a real PostgreSQL: accepted once, claimed by one, kept until somebody has read it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import pytest

from services.gateway.records import Busy, Shadow
from services.gateway.store.inbound import Accepted, Received
from services.gateway.store.inbound_sql import ACCOUNTS_IN_TURN
from services.gateway.store.journeys import Wanted
from tests.support.database import MigratedDatabase
from tests.support.gateway_store import (
    EVENT,
    TRACE,
    Stores,
    Tenant,
    a_cause,
    a_change,
    an_edit,
    new_tenant,
    opened_stores,
    seen,
)
from wedsync.errors import StaleRevision
from wedsync.model.ids import change_id
from wedsync.runtime.envelope import unseal


async def accepted(stores: Stores, tenant: Tenant, body: bytes = b"{}") -> str:
    """Accept one webhook; return its id."""
    arrival = tenant.arrival(body)
    assert known_as(await stores.inbound.accept([arrival])) == [arrival.webhook_id]
    return arrival.webhook_id


def known_as(kept: Sequence[Accepted]) -> list[str]:
    """Return the ids that deliveries are known by."""
    return [each.known_as for each in kept]


async def claimed(stores: Stores) -> Received:
    """Claim the one webhook that waits."""
    [webhook] = await stores.inbound.claim(10)
    return webhook


async def test_a_known_delivery_is_kept_once(stores: Stores, tenant: Tenant) -> None:
    """The same delivery id is stored once, within a batch and later; without an id nothing is compared."""
    keyed = [tenant.arrival(delivery_key="d1"), tenant.arrival(delivery_key="d1"), tenant.arrival()]
    first, _, unkeyed = (arrival.webhook_id for arrival in keyed)
    assert known_as(await stores.inbound.accept(keyed)) == [first, first, unkeyed]
    assert known_as(await stores.inbound.accept([tenant.arrival(delivery_key="d1")])) == [first]
    more = [tenant.arrival(), tenant.arrival(delivery_key="d2")]
    assert known_as(await stores.inbound.accept(more)) == [arrival.webhook_id for arrival in more]
    [kept] = stores.sql(
        "SELECT count(*) AS rows FROM gateway.webhook_log WHERE organization_id = %s",
        tenant.link.organization_id,
    )
    assert kept["rows"] == 4
    page = await stores.journeys.webhooks(tenant.link.organization_id, Wanted(), after=None, limit=10)
    assert {str(row["id"]): row["repeats"] for row in page}[first] == 2


async def test_webhooks_are_claimed_for_who_has_room(stores: Stores, tenant: Tenant) -> None:
    """As many as there is room for, as they would be claimed; what is known, ignored or parked is not."""
    await stores.inbound.accept([tenant.arrival(delivery_key="d")])
    [known] = await stores.inbound.claim(10)
    arrivals = [
        tenant.arrival(delivery_key="d"),
        tenant.arrival(ignored="of no interest"),
        tenant.arrival(b'{"a": 1}', links=[tenant.link]),
        tenant.arrival(),
    ]
    kept = await stores.inbound.accept(arrivals, room=2)
    assert known_as(kept) == [known.webhook_id, *(arrival.webhook_id for arrival in arrivals[1:])]
    [taken] = [each.taken for each in kept if each.taken]
    assert (taken.body, taken.attempts, taken.links) == (b'{"a": 1}', 1, [tenant.link])
    [waiting] = await stores.inbound.claim(10)
    assert waiting.webhook_id == arrivals[3].webhook_id
    await stores.inbound.finish(taken, state="processed")
    await stores.inbound.finish(waiting, state="processed")
    unfinished = "SELECT id FROM gateway.webhook_log WHERE state = 'received' AND organization_id = %s"
    assert [str(row["id"]) for row in stores.sql(unfinished, tenant.link.organization_id)] == [
        known.webhook_id
    ]


async def test_a_change_is_claimed_for_who_has_room(stores: Stores, tenant: Tenant) -> None:
    """A change that is committed as claimed is nobody else's until its lease ends."""
    held = await stores.leases.take(tenant.key(), EVENT)
    assert held is not None
    change = a_change(tenant, held, {"title": "Vows"})
    await stores.inbound.commit_observation(held, seen(held, title="Vows"), change, a_cause(), [], taken=True)
    assert await stores.activities.claim(10) == []
    stores.sql(
        "UPDATE gateway.vendor_activities SET lease_until = '-infinity' WHERE id = %s", change.change_id
    )
    [again] = await stores.activities.claim(10)
    assert (again.change.change_id, again.attempts) == (change.change_id, 2)


async def test_a_webhook_ends_with_the_look_it_caused_alone(stores: Stores, tenant: Tenant) -> None:
    """What came of it and its end are one commit; where nothing came of it, it says why."""
    for change_title, why in (("Vows", ""), (None, "known")):
        webhook_id = await accepted(stores, tenant)
        webhook = await claimed(stores)
        held = await stores.leases.take(tenant.key(), EVENT)
        assert held is not None
        change = a_change(tenant, held, {"title": change_title}) if change_title else None
        cause = replace(a_cause(webhook_id), detected_at=webhook.accepted_at, alone=True)
        await stores.inbound.commit_observation(
            held, seen(held, title="Vows"), change, cause, [], why_nothing=why
        )
        [row] = stores.sql(
            "SELECT state, reason, translated_at FROM gateway.webhook_log WHERE id = %s", webhook_id
        )
        assert (row["state"], row["reason"]) == ("processed", why)
        assert row["translated_at"] is not None
    stores.leases_end()
    assert await stores.inbound.claim(10) == []


async def test_a_webhook_whose_look_was_too_late_goes_on(stores: Stores, tenant: Tenant) -> None:
    """Where the record moved on nothing is committed, the end of its webhook as little as anything else."""
    webhook_id = await accepted(stores, tenant)
    webhook = await claimed(stores)
    held = await stores.leases.take(tenant.key(), EVENT)
    assert held is not None
    stores.leases_end()
    other = await stores.leases.take(tenant.key(), EVENT)
    assert other is not None
    cause = replace(a_cause(webhook_id), detected_at=webhook.accepted_at, alone=True)
    with pytest.raises(StaleRevision):
        await stores.inbound.commit_observation(held, seen(held, title="Late"), None, cause, [])
    assert (await claimed(stores)).webhook_id == webhook_id


async def test_another_integration_may_use_the_same_delivery_id(stores: Stores, tenant: Tenant) -> None:
    """Delivery ids of two organizations do not meet, though one transaction accepts both."""
    other = await new_tenant(stores)
    both = [tenant.arrival(delivery_key="same"), other.arrival(delivery_key="same")]
    assert known_as(await stores.inbound.accept(both)) == [arrival.webhook_id for arrival in both]


async def test_the_raw_body_comes_back_byte_for_byte(stores: Stores, tenant: Tenant) -> None:
    """A claimed webhook has the bytes that were accepted, whatever they are, and its trace."""
    body = b'{"name": "\xc3\xa9", "nul": "\\u0000"}  \n'
    webhook_id = await accepted(stores, tenant, body)
    webhook = await claimed(stores)
    assert (webhook.webhook_id, webhook.body, webhook.trace_parent) == (webhook_id, body, TRACE)
    assert (webhook.attempts, webhook.integration_id) == (1, tenant.link.integration_id)
    [row] = stores.sql("SELECT body FROM gateway.webhook_log WHERE id = %s", webhook_id)
    assert unseal(bytes(row["body"])).payload == body


async def test_a_parked_arrival_is_not_worked_on(stores: Stores, tenant: Tenant) -> None:
    """What is accepted as parked keeps its reason and is never claimed."""
    await stores.inbound.accept([tenant.arrival(parked="no start", origin="poll")])
    assert await stores.inbound.claim(10) == []
    [row] = await stores.journeys.webhooks(
        tenant.link.organization_id, Wanted(state="parked", vendor="tave"), after=None, limit=5
    )
    assert row["reason"] == "no start"


async def test_a_claim_ends_with_its_lease(stores: Stores, tenant: Tenant) -> None:
    """A claimed webhook is nobody else's until the claim's time is over; then it counts as another try."""
    webhook_id = await accepted(stores, tenant)
    assert (await claimed(stores)).attempts == 1
    assert await stores.inbound.claim(10) == []
    stores.leases_end()
    again = await claimed(stores)
    assert (again.webhook_id, again.attempts) == (webhook_id, 2)


async def test_two_replicas_never_claim_the_same_webhook(
    stores: Stores, tenant: Tenant, migrated_database: MigratedDatabase
) -> None:
    """Many claims at once by two replicas share 60 webhooks out without a repeat and without a rest."""
    await stores.inbound.accept([tenant.arrival() for _ in range(60)])
    async with opened_stores(migrated_database) as other:
        calls = [replica.inbound.claim(7) for _ in range(8) for replica in (stores, other)]
        shares = await asyncio.gather(*calls)
        while more := await other.inbound.claim(7):
            shares.append(more)
    ids = [webhook.webhook_id for share in shares for webhook in share]
    assert len(ids) == len(set(ids)) == 60


async def test_a_flood_of_one_account_does_not_hold_up_the_others(stores: Stores, tenant: Tenant) -> None:
    """The accounts have their turns, those that sent later too; of each the oldest go first."""
    flood = [await accepted(stores, tenant) for _ in range(12)]
    others = [await accepted(stores, await new_tenant(stores)) for _ in range(2)]
    claimed_first = [webhook.webhook_id for webhook in await stores.inbound.claim(6)]
    assert set(others) < set(claimed_first)
    assert set(claimed_first) - set(others) == set(flood[: len(claimed_first) - 2])


async def test_every_account_has_its_turn(stores: Stores) -> None:
    """However many accounts there are, none is served twice before each was served once."""
    tenants = [await new_tenant(stores) for _ in range(ACCOUNTS_IN_TURN + 4)]
    for tenant in tenants:
        await stores.inbound.accept([tenant.arrival(), tenant.arrival()])
    served = [webhook.integration_id for _ in range(5) for webhook in await stores.inbound.claim(4)]
    assert sorted(served) == sorted(tenant.link.integration_id for tenant in tenants)


async def test_a_busy_vendor_of_many_accounts_does_not_hold_up_the_others(stores: Stores) -> None:
    """However many accounts of the busy wait, they are looked past, in whatever order."""
    for _ in range(ACCOUNTS_IN_TURN + 4):
        await accepted(stores, await new_tenant(stores))
    other = await accepted(stores, await new_tenant(stores, vendor="stripe"))
    claimed_first = await stores.inbound.claim(4, Busy(vendors=["tave"]))
    assert [webhook.webhook_id for webhook in claimed_first] == [other]


async def test_a_claimed_row_does_not_hold_up_the_next_claim(stores: Stores, tenant: Tenant) -> None:
    """A replica in the middle of claiming a row is passed by, not waited for."""
    first, second = await accepted(stores, tenant), await accepted(stores, tenant)
    async with stores.worker.transaction() as conn:
        await conn.exec_driver_sql(
            "SELECT id FROM gateway.webhook_log WHERE state = 'received'"
            " ORDER BY accepted_at LIMIT 1 FOR UPDATE"
        )
        async with asyncio.timeout(5):
            assert [w.webhook_id for w in await stores.inbound.claim(10)] == [second]
    assert (await claimed(stores)).webhook_id == first


async def test_a_finished_webhook_rests(stores: Stores, tenant: Tenant) -> None:
    """A webhook that was read is never claimed again, and says what became of it and when."""
    webhook_id = await accepted(stores, tenant)
    await stores.inbound.finish(await claimed(stores), state="processed", reason="no active link")
    stores.leases_end()
    assert await stores.inbound.claim(10) == []
    [row] = stores.sql(
        "SELECT state, reason, accepted_at, translated_at FROM gateway.webhook_log WHERE id = %s", webhook_id
    )
    assert (row["state"], row["reason"]) == ("processed", "no active link")
    assert row["translated_at"] >= row["accepted_at"]


async def test_a_postponed_webhook_waits_its_time(stores: Stores, tenant: Tenant) -> None:
    """A postponed webhook is free but not due until its time has come."""
    await accepted(stores, tenant)
    await stores.inbound.postpone(await claimed(stores), seconds=3600, reason="busy")
    assert await stores.inbound.claim(10) == []
    stores.sql("UPDATE gateway.webhook_log SET not_before = '-infinity'")
    webhook = await claimed(stores)
    assert webhook.attempts == 2
    await stores.inbound.postpone(webhook, seconds=0, reason="busy")
    assert (await claimed(stores)).attempts == 3


async def test_shadow_and_change_are_committed_together(stores: Stores, tenant: Tenant) -> None:
    """A committed edit has moved the shadow, waits to be sent, and has freed the record."""
    change = await an_edit(stores, tenant, title="Vows")
    held = await stores.leases.take(tenant.key(), EVENT)
    assert held is not None
    assert (held.shadow.generation, held.shadow.fields["title"].value, held.pending) == (1, "Vows", True)
    [activity] = await stores.activities.claim(10)
    assert activity.change == change


async def test_an_echo_moves_the_shadow_only(stores: Stores, tenant: Tenant) -> None:
    """Without a change nothing waits to be sent, though the shadow learned."""
    held = await stores.leases.take(tenant.key(), EVENT)
    assert held is not None
    await stores.inbound.commit_observation(held, seen(held, title="Vows"), None, a_cause(), [])
    assert await stores.activities.claim(10) == []
    assert (await known(stores, tenant)).generation == 1


async def test_a_shadow_that_moved_on_refuses_the_commit(stores: Stores, tenant: Tenant) -> None:
    """Compare-and-set: after the lease was lost, neither the shadow nor the change is written."""
    late = await stores.leases.take(tenant.key(), EVENT)
    assert late is not None
    stores.leases_end()
    await an_edit(stores, tenant, title="First")
    change = a_change(tenant, late, {"title": "Late"})
    with pytest.raises(StaleRevision):
        await stores.inbound.commit_observation(late, seen(late, title="Late"), change, a_cause(), [])
    assert (await known(stores, tenant)).fields["title"].value == "First"
    [waiting] = stores.sql(
        "SELECT id::text FROM gateway.vendor_activities WHERE link_id = %s", tenant.link.link_id
    )
    assert waiting["id"] == change_id(tenant.link.link_id, tenant.item_id, 1)


async def test_a_shadow_of_another_generation_refuses_the_commit(stores: Stores, tenant: Tenant) -> None:
    """Also under one and the same lease: what was compared is no longer what stands there."""
    held = await stores.leases.take(tenant.key(), EVENT)
    assert held is not None
    stores.sql("UPDATE gateway.shadow_items SET generation = 7 WHERE item_id = %s", tenant.item_id)
    change = a_change(tenant, held, {"title": "Late"})
    with pytest.raises(StaleRevision):
        await stores.inbound.commit_observation(held, seen(held, title="Late"), change, a_cause(), [])
    assert (await known(stores, tenant)).generation == 7
    assert await stores.activities.claim(10) == []


async def known(stores: Stores, tenant: Tenant) -> Shadow:
    """Return the shadow of the tenant's item."""
    shadow = await stores.links.record_of(tenant.link, tenant.item_id)
    assert shadow is not None
    return shadow


async def test_a_lost_lease_refuses_the_commit_though_nobody_wrote(stores: Stores, tenant: Tenant) -> None:
    """The token counts, not only the generation: who lost the lease writes nothing."""
    late = await stores.leases.take(tenant.key(), EVENT)
    assert late is not None
    stores.leases_end()
    assert await stores.leases.take(tenant.key(), EVENT) is not None
    with pytest.raises(StaleRevision):
        await stores.inbound.commit_observation(late, seen(late, title="Late"), None, a_cause(), [])
