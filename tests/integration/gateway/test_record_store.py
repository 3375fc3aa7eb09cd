"""One vendor record at a time, on a real PostgreSQL: leases, intents, and what is known under them."""

from __future__ import annotations

import asyncio

import pytest

from services.gateway.records import Intent, IntentKind, Shadow, Shown
from services.gateway.store.leases import INTENT_SECONDS, Held
from tests.support.database import MigratedDatabase
from tests.support.gateway_store import (
    EVENT,
    Stores,
    Tenant,
    a_cause,
    a_commit,
    an_edit,
    an_item,
    new_tenant,
    opened_stores,
    seen,
)
from wedsync.errors import StaleRevision
from wedsync.model.ids import new_id


def an_intent(kind: IntentKind = IntentKind.UPDATE, title: str = "Vows") -> Intent:
    """Return a write that is about to happen."""
    return Intent(intent_id=new_id(), kind=kind, values={"title": Shown(value=title, revision=3)})


async def taken(stores: Stores, tenant: Tenant) -> Held:
    """Lease the tenant's record, which must be free."""
    held = await stores.leases.take(tenant.key(), EVENT)
    assert held is not None
    return held


async def test_a_new_record_is_leased_empty(stores: Stores, tenant: Tenant) -> None:
    """A record never seen has an empty shadow of generation 0 and nothing known about its item."""
    held = await taken(stores, tenant)
    assert held.shadow == Shadow(link_id=tenant.link.link_id, item_id=tenant.item_id, kind=EVENT)
    assert (held.intents, held.pending, held.item, held.sequence) == ([], False, None, 0)


async def test_one_holder_at_a_time(stores: Stores, tenant: Tenant) -> None:
    """A held record is refused to others until it is released; releasing twice is harmless."""
    held = await taken(stores, tenant)
    assert await stores.leases.take(tenant.key(), EVENT) is None
    await stores.leases.release(held)
    again = await taken(stores, tenant)
    await stores.leases.release(held)
    assert await stores.leases.take(tenant.key(), EVENT) is None
    await stores.leases.release(again)


async def test_a_record_is_leased_by_the_vendors_name_for_it(
    stores: Stores, tenant: Tenant, migrated_database: MigratedDatabase
) -> None:
    """With all that is known of its item; one that was never seen, or is another link's, is not known."""
    held = await taken(stores, tenant)
    await stores.deliveries.accept(
        [a_commit(tenant.link.wedding_id, an_item(tenant.item_id, title="Vows"), 4)]
    )
    await stores.leases.intend(held, an_intent())
    await stores.deliveries.close(held, state="delivered", shadow=seen(held, title="Vows").shadow)
    name, stranger = seen(held, title="Vows").shadow.record_id or "", await new_tenant(stores)
    assert await stores.leases.take_known(stranger.link, name) is None
    assert await stores.leases.take_known(tenant.link, "never seen") is None
    async with opened_stores(migrated_database) as other:
        asked = [r.leases.take_known(tenant.link, name) for _ in range(6) for r in (stores, other)]
        known = [each for each in await asyncio.gather(*asked) if each is not None]
    assert {each.item_id for each in known} == {tenant.item_id}
    assert len(known) == 12
    [mine] = [each.held for each in known if each.held is not None]
    assert (mine.key, mine.sequence, len(mine.intents)) == (tenant.key(), 4, 1)
    assert (mine.item and mine.item.value("title"), mine.shadow.record_id) == ("Vows", name)
    await stores.leases.release(mine)
    assert await stores.leases.take(tenant.key(), EVENT) is not None


async def test_only_one_of_many_gets_the_record(
    stores: Stores, tenant: Tenant, migrated_database: MigratedDatabase
) -> None:
    """Of twelve who ask at once, from two replicas, exactly one gets the record."""
    async with opened_stores(migrated_database) as other:
        asked = [r.leases.take(tenant.key(), EVENT) for _ in range(6) for r in (stores, other)]
        answers = await asyncio.gather(*asked)
    assert len([held for held in answers if held is not None]) == 1


async def test_a_crashed_holder_is_replaced(stores: Stores, tenant: Tenant) -> None:
    """After the lease's time the record is free again, and the late holder's release frees nothing."""
    late = await taken(stores, tenant)
    stores.leases_end()
    await taken(stores, tenant)
    await stores.leases.release(late)
    assert await stores.leases.take(tenant.key(), EVENT) is None


async def test_the_lease_shows_what_is_on_its_way(stores: Stores, tenant: Tenant) -> None:
    """A pending change, the projection and its newest sequence come with the lease."""
    await an_edit(stores, tenant, title="Vows")
    item = an_item(tenant.item_id, title="Vows", tags=("a", "b"), all_day=False)
    await stores.deliveries.accept([a_commit(tenant.link.wedding_id, item, 7)])
    held = await taken(stores, tenant)
    assert (held.pending, held.item, held.sequence) == (True, item, 7)


async def test_an_intent_is_seen_by_the_next_holder(stores: Stores, tenant: Tenant) -> None:
    """A committed intent whose outcome is unknown is there after a crash, its values and revisions too."""
    intent = an_intent(IntentKind.CREATE)
    await stores.leases.intend(await taken(stores, tenant), intent)
    stores.leases_end()
    assert (await taken(stores, tenant)).intents == [intent]


async def test_only_a_create_without_an_answer_is_awaited(stores: Stores, tenant: Tenant) -> None:
    """An update is no create; a create is awaited across a crash, but not beyond its time."""

    async def awaited() -> bool:
        return await stores.links.awaits_create(tenant.link, tenant.item_id)

    held = await taken(stores, tenant)
    await stores.leases.intend(held, an_intent())
    assert not await awaited()
    await stores.leases.intend(held, an_intent(IntentKind.CREATE))
    assert await awaited()
    stores.sql(
        "UPDATE gateway.delivery_intents SET created_at = created_at - make_interval(secs => %s)",
        INTENT_SECONDS,
    )
    assert not await awaited()


async def test_a_superseded_intent_stays_an_echo_for_its_time(stores: Stores, tenant: Tenant) -> None:
    """The newer intent supersedes the older, both count for a while, and then neither does."""
    first, second = an_intent(title="One"), an_intent(title="Two")
    held = await taken(stores, tenant)
    await stores.leases.intend(held, first)
    await stores.leases.intend(held, second)
    states = stores.sql(
        "SELECT id::text, state FROM gateway.delivery_intents WHERE item_id = %s", tenant.item_id
    )
    assert {row["id"]: row["state"] for row in states} == {
        first.intent_id: "superseded",
        second.intent_id: "open",
    }
    stores.leases_end()
    assert (await taken(stores, tenant)).intents == [first, second]
    stores.sql(
        "UPDATE gateway.delivery_intents SET created_at = created_at - make_interval(secs => %s)",
        INTENT_SECONDS,
    )
    stores.leases_end()
    assert (await taken(stores, tenant)).intents == []


async def test_a_confirmed_intent_no_longer_counts(stores: Stores, tenant: Tenant) -> None:
    """What the vendor was seen to have carried out is closed with the observation."""
    intent = an_intent()
    held = await taken(stores, tenant)
    await stores.leases.intend(held, intent)
    await stores.inbound.commit_observation(
        held, seen(held, title="Vows"), None, a_cause(), [intent.intent_id]
    )
    assert (await taken(stores, tenant)).intents == []


@pytest.mark.parametrize("overtaken", [False, True], ids=["lease ran out", "somebody else has it"])
async def test_without_the_lease_nothing_is_written_to_the_vendor(
    stores: Stores, tenant: Tenant, *, overtaken: bool
) -> None:
    """Who lost the lease is refused the intent, and so the write; the other's intent stays open."""
    late = await taken(stores, tenant)
    stores.leases_end()
    intent = an_intent()
    if overtaken:
        await stores.leases.intend(await taken(stores, tenant), intent)
    with pytest.raises(StaleRevision, match="ran out"):
        await stores.leases.intend(late, an_intent(title="Late"))
    rows = stores.sql(
        "SELECT id::text AS id, state FROM gateway.delivery_intents WHERE item_id = %s", tenant.item_id
    )
    assert rows == ([{"id": intent.intent_id, "state": "open"}] if overtaken else [])


async def test_a_shadow_survives_byte_for_byte(stores: Stores, tenant: Tenant) -> None:
    """Every kind of value, its revision and what was sent for it come back as they were stored."""
    held = await taken(stores, tenant)
    fields = {
        "title": Shown(value="Ünïcode \\ \n", revision=4, sent="Ünïcode"),
        "tags": Shown(value=("a", "b"), revision=0),
        "all_day": Shown(value=False, revision=2),
        "guest_count": Shown(value=10**12, revision=1),
        "notes": Shown(value=None, revision=9),
    }
    shadow = Shadow(
        link_id=tenant.link.link_id,
        item_id=tenant.item_id,
        kind=EVENT,
        record_id="event/9",
        version='W/"1"',
        generation=5,
        gone=True,
        fields=fields,
    )
    await stores.deliveries.close(held, state="delivered", shadow=shadow)
    assert (await taken(stores, tenant)).shadow == shadow
