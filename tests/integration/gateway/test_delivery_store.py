"""The projection and its deliveries on a real PostgreSQL: repeats and reordering change nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import psycopg
import pytest

from services.gateway.records import Intent, IntentKind, Shown
from services.gateway.store import links
from services.gateway.store.deliveries import Commit
from services.gateway.store.leases import Held
from tests.support.database import MigratedDatabase
from tests.support.gateway_store import (
    EVENT,
    SEEN_AT,
    TRACE,
    Stores,
    Tenant,
    a_commit,
    a_link,
    an_item,
    new_tenant,
    opened_stores,
    seen,
)
from wedsync.errors import StaleRevision
from wedsync.model.changes import Priority
from wedsync.model.ids import new_id

OTHER_TRACE = "00-1af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"


def commits(tenant: Tenant, *titles: str) -> list[Commit]:
    """Return the commits of one item, its title set to one after the other."""
    return [
        a_commit(
            tenant.link.wedding_id,
            an_item(tenant.item_id, revision=number, title=title),
            number,
            committed_at=SEEN_AT + timedelta(seconds=number),
        )
        for number, title in enumerate(titles, start=1)
    ]


async def held_record(stores: Stores, tenant: Tenant) -> Held:
    """Lease the tenant's record."""
    held = await stores.leases.take(tenant.key(), EVENT)
    assert held is not None
    return held


def deliveries(stores: Stores, tenant: Tenant) -> list[tuple[str, int, str]]:
    """Return state, sequence and reason of each delivery to the tenant's link."""
    rows = stores.sql(
        "SELECT state, sequence, reason FROM gateway.vendor_deliveries WHERE link_id = %s ORDER BY sequence",
        tenant.link.link_id,
    )
    return [(row["state"], row["sequence"], row["reason"]) for row in rows]


async def test_the_projection_only_moves_forward(stores: Stores, tenant: Tenant) -> None:
    """In whatever order commits arrive, in one call or several, the newest state stays."""
    first, second, third = commits(tenant, "One", "Two", "Three")
    for batch in ([second], [first], [third, first], [second, third]):
        await stores.deliveries.accept(batch)
    held = await held_record(stores, tenant)
    assert (held.item, held.sequence) == (third.item, 3)


async def test_a_repeated_hand_over_doubles_nothing(stores: Stores, tenant: Tenant) -> None:
    """Accepting the same commits again, in part and in another order, adds no delivery."""
    batch = commits(tenant, "One", "Two")
    assert len(await stores.deliveries.accept(batch)) == 2
    assert len(await stores.deliveries.accept(batch[::-1])) == 0
    assert len(await stores.deliveries.accept(batch[1:])) == 0
    assert deliveries(stores, tenant) == [("due", 1, ""), ("due", 2, "")]


async def test_hand_overs_at_once_agree(
    stores: Stores, tenant: Tenant, migrated_database: MigratedDatabase
) -> None:
    """Two replicas told the same at once, in opposite orders, neither wait in a circle nor double."""
    batch = [
        a_commit(tenant.link.wedding_id, an_item(new_id(), title="x"), number) for number in range(1, 30)
    ]
    async with opened_stores(migrated_database) as other:
        told = [
            replica.deliveries.accept(order)
            for _ in range(3)
            for replica, order in ((stores, batch), (other, batch[::-1]))
        ]
        assert sum(map(len, await asyncio.gather(*told))) == len(batch)


async def test_every_link_of_the_wedding_gets_its_delivery(stores: Stores, tenant: Tenant) -> None:
    """Links of two organizations get one each; a wedding without a link gets the projection only."""
    colleague = await new_tenant(stores, wedding_id=tenant.link.wedding_id)
    stranger = await new_tenant(stores)
    unlinked = new_id()
    told = [*commits(tenant, "One"), a_commit(unlinked, an_item(new_id(), title="x"), 1)]
    assert len(await stores.deliveries.accept(told)) == 2
    assert [len(deliveries(stores, t)) for t in (tenant, colleague, stranger)] == [1, 1, 0]
    assert len(await stores.deliveries.accept([told[1]])) == 0
    rows = stores.sql("SELECT 1 FROM gateway.canonical_items WHERE wedding_id = %s", unlinked)
    assert len(rows) == 1


async def test_a_new_link_makes_everything_due(stores: Stores, tenant: Tenant) -> None:
    """Whoever links later is brought every item of the wedding there is."""
    wedding = tenant.link.wedding_id
    await stores.deliveries.accept([a_commit(wedding, an_item(new_id(), title=t), 1) for t in "abc"])
    late = await new_tenant(stores, wedding_id=wedding)
    assert [state for state, *_ in deliveries(stores, late)] == ["due"] * 3


async def test_ten_commits_are_one_claim(stores: Stores, tenant: Tenant) -> None:
    """Many deliveries of one record are claimed as one piece of work, and by nobody else meanwhile."""
    await stores.deliveries.accept(commits(tenant, *"abcdefghij"))
    [claimed] = await stores.deliveries.claim(20)
    assert (claimed.key, claimed.kind) == (tenant.key(), EVENT)
    assert await stores.deliveries.claim(20) == []
    stores.leases_end()
    assert len(await stores.deliveries.claim(20)) == 1


async def test_the_most_urgent_goes_first(stores: Stores, tenant: Tenant) -> None:
    """Lanes come before age."""
    order = [Priority.BULK, Priority.NORMAL, Priority.EMERGENCY, Priority.CRITICAL]
    items = {lane: new_id() for lane in order}
    for number, lane in enumerate(order):
        item = an_item(items[lane], title="x")
        at = SEEN_AT + timedelta(seconds=number)
        await stores.deliveries.accept(
            [a_commit(tenant.link.wedding_id, item, number + 1, priority=lane, committed_at=at)]
        )
    claimed = [(await stores.deliveries.claim(1))[0].key.item_id for _ in order]
    assert claimed == [items[lane] for lane in Priority]


async def test_two_replicas_never_claim_the_same_delivery(
    stores: Stores, tenant: Tenant, migrated_database: MigratedDatabase
) -> None:
    """Many claims at once by two replicas share 40 records out without a repeat and without a rest."""
    wedding = tenant.link.wedding_id
    await stores.deliveries.accept([a_commit(wedding, an_item(new_id(), title="x"), 1) for _ in range(40)])
    async with opened_stores(migrated_database) as other:
        calls = [replica.deliveries.claim(5) for _ in range(6) for replica in (stores, other)]
        shares = await asyncio.gather(*calls)
        while more := await other.deliveries.claim(5):
            shares.append(more)
    items = [claimed.key.item_id for share in shares for claimed in share]
    assert len(items) == len(set(items)) == 40


async def test_attempts_are_counted(stores: Stores, tenant: Tenant) -> None:
    """Each claim counts, unless nothing was tried; its trace is the newest commit's."""
    first, second = commits(tenant, "One", "Two")
    newest = "00-11111111111111111111111111111111-2222222222222222-01"
    await stores.deliveries.accept([first, a_commit(**{**_values(second), "trace_parent": newest})])
    for attempt in (1, 2, 2):
        [claimed] = await stores.deliveries.claim(10)
        assert (claimed.attempt, claimed.trace_parent) == (attempt, newest)
        await stores.deliveries.postpone(tenant.key(), seconds=0, reason="", untried=attempt > 1)


async def test_what_is_due_is_claimed_for_who_has_room(stores: Stores, tenant: Tenant) -> None:
    """Each record once with its link, the urgent first; what there is no room for waits in the table."""
    normal, critical = commits(tenant, "One", "Two")
    critical = replace(critical, priority=Priority.CRITICAL, trace_parent=OTHER_TRACE)
    other = a_commit(tenant.link.wedding_id, an_item(new_id(), title="x"), 3)
    taken = await stores.deliveries.accept([other, critical, normal], room=3)
    assert [(each.key.item_id, each.lane, each.attempt, each.trace_parent) for each in taken if each] == [
        (tenant.item_id, Priority.CRITICAL, 1, OTHER_TRACE),
        (other.item.item_id, Priority.NORMAL, 1, other.trace_parent),
    ]
    found = await stores.links.find_link([tenant.link.organization_id], tenant.link.link_id)
    assert [each.link for each in taken if each] == [found, found]
    assert await stores.deliveries.claim(10) == []
    assert await stores.deliveries.accept([other], room=3) == []
    more = [a_commit(tenant.link.wedding_id, an_item(new_id(), title="y"), n) for n in (4, 5)]
    assert await stores.deliveries.accept(more, room=1) == [None, None]
    assert len(await stores.deliveries.claim(10)) == 2


def _values(commit: Commit) -> dict[str, Any]:
    return {name: getattr(commit, name) for name in commit.__slots__}


async def test_an_outcome_covers_what_was_known_then(stores: Stores, tenant: Tenant) -> None:
    """A commit that arrived during the write stays due; those before it are delivered with it."""
    first, second, third = commits(tenant, "One", "Two", "Three")
    await stores.deliveries.accept([first, second])
    held = await held_record(stores, tenant)
    await stores.deliveries.accept([third])
    intent = Intent(
        intent_id=new_id(), kind=IntentKind.UPDATE, values={"title": Shown(value="T", revision=2)}
    )
    await stores.leases.intend(held, intent)
    await stores.deliveries.close(
        held,
        state="delivered",
        shadow=seen(held, title="Two").shadow,
        intent_id=intent.intent_id,
        called_at=SEEN_AT,
    )
    assert [state for state, *_ in deliveries(stores, tenant)] == ["delivered", "delivered", "due"]
    after = await held_record(stores, tenant)
    assert (after.intents, after.shadow.generation) == ([], 1)
    [row] = stores.sql(
        "SELECT called_at, confirmed_at >= accepted_at AS after FROM gateway.vendor_deliveries"
        " WHERE link_id = %s AND sequence = 1",
        tenant.link.link_id,
    )
    assert row == {"called_at": SEEN_AT, "after": True}


async def test_nothing_to_do_is_not_a_confirmation(stores: Stores, tenant: Tenant) -> None:
    """Without a call to the vendor a delivery closes with its reason and no time of confirmation."""
    await stores.deliveries.accept(commits(tenant, "One"))
    held = await held_record(stores, tenant)
    await stores.deliveries.close(held, state="nothing_to_do", reason="not kept here")
    assert deliveries(stores, tenant) == [("nothing_to_do", 1, "not kept here")]
    [row] = stores.sql(
        "SELECT confirmed_at, closed_at IS NOT NULL AS closed FROM gateway.vendor_deliveries"
        " WHERE link_id = %s",
        tenant.link.link_id,
    )
    assert row == {"confirmed_at": None, "closed": True}


async def test_an_outcome_under_a_lost_lease_is_refused(stores: Stores, tenant: Tenant) -> None:
    """Whoever lost the lease cannot move the shadow, and the delivery stays due."""
    await stores.deliveries.accept(commits(tenant, "One"))
    late = await held_record(stores, tenant)
    stores.leases_end()
    await held_record(stores, tenant)
    with pytest.raises(StaleRevision):
        await stores.deliveries.close(late, state="delivered", shadow=seen(late, title="One").shadow)
    assert deliveries(stores, tenant) == [("due", 1, "")]


async def test_later_and_never(stores: Stores, tenant: Tenant) -> None:
    """A postponed delivery comes back in its time; a parked one rests with the reason."""
    await stores.deliveries.accept(commits(tenant, "One"))
    await stores.deliveries.claim(5)
    await stores.deliveries.postpone(tenant.key(), seconds=3600, reason="busy")
    assert await stores.deliveries.claim(5) == []
    await stores.deliveries.postpone(tenant.key(), seconds=0, reason="busy")
    assert len(await stores.deliveries.claim(5)) == 1
    await stores.deliveries.stop(tenant.key(), state="parked", reason="a human must look")
    stores.leases_end()
    assert await stores.deliveries.claim(5) == []
    assert deliveries(stores, tenant) == [("parked", 1, "a human must look")]


async def test_what_is_being_closed_is_waited_for_by_nobody(stores: Stores, tenant: Tenant) -> None:
    """Whoever would put it off or stop it passes it by: so nobody waits in a circle."""
    await stores.deliveries.accept(commits(tenant, "One"))
    await stores.deliveries.claim(5)
    with psycopg.connect(stores.admin_url) as closing:
        closing.execute(
            "UPDATE gateway.vendor_deliveries SET state = 'delivered' WHERE link_id = %s",
            [tenant.link.link_id],
        )
        async with asyncio.timeout(10):
            await stores.deliveries.postpone(tenant.key(), seconds=0, reason="busy")
            await stores.deliveries.stop(tenant.key(), state="parked", reason="a human must look")
    assert deliveries(stores, tenant) == [("delivered", 1, "")]


async def _due_at(stores: Stores, link_id: str) -> int:
    [row] = stores.sql("SELECT count(*) FROM gateway.vendor_deliveries WHERE link_id = %s", link_id)
    return int(row["count"])


@pytest.mark.parametrize("within", [False, True], ids=["between", "within"])
async def test_a_link_made_while_a_commit_is_handed_over_hears_of_it(
    stores: Stores, tenant: Tenant, monkeypatch: pytest.MonkeyPatch, *, within: bool
) -> None:
    """However the two interleave: the one that comes last knows of the other, and makes the record due."""
    [commit] = commits(tenant, "Vows")
    new = a_link(tenant.link.organization_id, tenant.link.integration_id, wedding_id=tenant.link.wedding_id)

    async def link() -> None:
        await stores.links.link(new, request_id=new_id(), trace_parent=TRACE)

    async def hand_over() -> None:
        await stores.deliveries.accept([commit])

    if within:  # the hand-over comes while the link's transaction is open, after it has looked
        _once_after(monkeypatch, links, "deliver_everything", hand_over)
        await link()
    else:  # the link comes while the hand-over knows its links, and has not told them yet
        _once_after(monkeypatch, stores.worker, "run", link)
        await hand_over()
    assert await _due_at(stores, new.link_id) == 1


def _once_after(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, then: Callable[[], Any]) -> None:
    """Have something happen right after the first call of a function."""
    original = getattr(owner, name)

    async def called(*args: Any, **options: Any) -> Any:
        answer = await original(*args, **options)
        monkeypatch.setattr(owner, name, original)
        await then()
        return answer

    monkeypatch.setattr(owner, name, called)
