"""Translated changes on a real PostgreSQL: in order within a record, by one worker, until answered."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from services.gateway.records import Shown
from services.gateway.store.activities import Answer
from services.gateway.store.deliveries import Commit
from services.gateway.store.inbound import Activity
from tests.support.database import MigratedDatabase
from tests.support.gateway_store import (
    EVENT,
    SEEN_AT,
    TRACE,
    Stores,
    Tenant,
    a_commit,
    an_edit,
    an_item,
    new_tenant,
    opened_stores,
    seen,
)
from wedsync.model.changes import ChangeResult, FieldResult, Outcome
from wedsync.model.ids import new_id
from wedsync.model.items import LIFE

BOTH_WAYS = pytest.mark.parametrize("remembered", [False, True], ids=["from the table", "from memory"])


async def claimed(stores: Stores) -> Activity:
    """Claim the one change that may go."""
    [activity] = await stores.activities.claim(10)
    return activity


async def with_shadow(stores: Stores, tenant: Tenant, activity: Activity) -> Activity:
    """Return a change as it goes on in memory: with what its record showed as it was committed."""
    shadow = await stores.links.record_of(tenant.link, tenant.item_id)
    assert shadow is not None
    return replace(activity, shadow=shadow)


def answer(activity: Activity, *fields: FieldResult, outcome: Outcome = Outcome.APPLIED) -> ChangeResult:
    """Return what the sync service says to a change."""
    return ChangeResult(
        change_id=activity.change.change_id,
        outcome=outcome,
        sequence=4 if fields else 0,
        fields=fields,
        reason="because" if outcome is Outcome.REJECTED else "",
        committed_at=SEEN_AT if fields else None,
    )


def taken(title: str, outcome: Outcome = Outcome.APPLIED, path: str = "title") -> FieldResult:
    """Return what became of one field."""
    return FieldResult(path=path, outcome=outcome, revision=4, proposed=title)


async def revision(stores: Stores, tenant: Tenant) -> int:
    """Return the base of the vendor's next edit of the title."""
    shadow = await stores.links.record_of(tenant.link, tenant.item_id)
    assert shadow is not None
    return shadow.fields["title"].revision


def due(stores: Stores, tenant: Tenant) -> list[str]:
    """Return the causes of the deliveries due for the tenant's record."""
    rows = stores.sql(
        "SELECT change_id::text AS cause FROM gateway.vendor_deliveries WHERE link_id = %s AND state = 'due'",
        tenant.link.link_id,
    )
    return [row["cause"] for row in rows]


async def agreed(stores: Stores, tenant: Tenant, *, outcome: Outcome = Outcome.APPLIED) -> Commit:
    """Have an edit of a record answered whose life is known; return its commit."""
    held = await stores.leases.take(tenant.key(), EVENT)
    assert held is not None
    before = seen(held, title="One").shadow
    alive = replace(before, fields={**before.fields, LIFE: Shown(value=None, revision=1)})
    await stores.deliveries.close(held, state="delivered", shadow=alive)
    change = await an_edit(stores, tenant, title="Two")
    activity = await with_shadow(stores, tenant, await claimed(stores))
    result = answer(activity, taken("Two", outcome))
    await stores.activities.resolve(Answer(activity, result, corrected=False))
    item = an_item(tenant.item_id, revision=4, title="Two")
    return a_commit(tenant.link.wedding_id, item, 4, change_id=change.change_id)


async def test_an_editor_is_not_told_what_its_record_shows(stores: Stores, tenant: Tenant) -> None:
    """The answer said so before the commit came; others are told, and so is the editor of the next commit."""
    commit = await agreed(stores, tenant)
    assert await stores.deliveries.accept([commit], room=5) == []
    assert due(stores, tenant) == []
    other = a_commit(tenant.link.wedding_id, an_item(tenant.item_id, revision=5, title="Three"), 5)
    await stores.deliveries.accept([commit, other])
    assert due(stores, tenant) == [other.change_id]


async def test_an_editor_whose_value_was_merged_is_told(stores: Stores, tenant: Tenant) -> None:
    """Its record shows what it sent, and the wedding has something else."""
    commit = await agreed(stores, tenant, outcome=Outcome.MERGED)
    await stores.deliveries.accept([commit])
    assert due(stores, tenant) == [commit.change_id]


async def test_an_editor_is_told_while_something_is_open_for_its_record(
    stores: Stores, tenant: Tenant
) -> None:
    """What was given up is tried again with every commit, the editor's own among them."""
    earlier = a_commit(tenant.link.wedding_id, an_item(tenant.item_id, title="Zero"), 1)
    commit = await agreed(stores, tenant)
    await stores.deliveries.accept([earlier])
    await stores.deliveries.stop(tenant.key(), state="parked", reason="not now")
    await stores.deliveries.accept([commit])
    assert due(stores, tenant) == [commit.change_id]


async def test_changes_of_one_record_go_in_order(stores: Stores, tenant: Tenant) -> None:
    """The second change of a record waits until the first is answered; other records do not wait."""
    first = await an_edit(stores, tenant, title="One")
    second = await an_edit(stores, tenant, title="Two")
    elsewhere = await an_edit(stores, await new_tenant(stores), title="Else")
    sent = await stores.activities.claim(10)
    assert [a.change.change_id for a in sent] == [first.change_id, elsewhere.change_id]
    stores.leases_end()
    assert {a.change.change_id for a in await stores.activities.claim(10)} == {
        first.change_id,
        elsewhere.change_id,
    }
    await stores.activities.resolve(Answer(sent[0], answer(sent[0]), corrected=False))
    assert (await claimed(stores)).change == second


async def test_a_retried_change_is_the_same_change(stores: Stores, tenant: Tenant) -> None:
    """A change that is sent again carries the id, values, bases and trace it was committed with."""
    change = await an_edit(stores, tenant, title="One", tags=("x", "y"))
    first = await claimed(stores)
    await stores.activities.retry([first], seconds=0, reason="UNAVAILABLE: away")
    again = await claimed(stores)
    assert (again.change, again.attempts) == (change, 2)
    assert again.change.trace_parent == TRACE
    [row] = stores.sql("SELECT reason FROM gateway.vendor_activities WHERE id = %s", change.change_id)
    assert row["reason"] == "UNAVAILABLE: away"


async def test_a_postponed_change_waits_its_time(stores: Stores, tenant: Tenant) -> None:
    """A change to be sent again later is not claimed before."""
    await an_edit(stores, tenant, title="One")
    await stores.activities.retry([await claimed(stores)], seconds=3600, reason="later")
    assert await stores.activities.claim(10) == []


async def test_a_claim_ends_with_its_lease(stores: Stores, tenant: Tenant) -> None:
    """What a crashed worker had claimed is claimed by another after the claim's time."""
    change = await an_edit(stores, tenant, title="One")
    await claimed(stores)
    assert await stores.activities.claim(10) == []
    stores.leases_end()
    assert (await claimed(stores)).change == change


async def test_two_replicas_never_claim_the_same_change(
    stores: Stores, tenant: Tenant, migrated_database: MigratedDatabase
) -> None:
    """Many claims at once by two replicas share 24 changes out without a repeat and without a rest."""
    for _ in range(24):
        await an_edit(stores, tenant, item_id=new_id(), title="One")
    async with opened_stores(migrated_database) as other:
        calls = [replica.activities.claim(3) for _ in range(6) for replica in (stores, other)]
        shares = await asyncio.gather(*calls)
        while more := await other.activities.claim(3):
            shares.append(more)
    ids = [activity.change.change_id for share in shares for activity in share]
    assert len(ids) == len(set(ids)) == 24


@BOTH_WAYS
async def test_what_was_taken_is_the_base_of_the_next_edit(
    stores: Stores, tenant: Tenant, remembered: bool
) -> None:
    """An applied value's revision becomes the shadow's; a field the shadow does not have is passed by."""
    await an_edit(stores, tenant, title="One")
    activity = await claimed(stores)
    if remembered:
        activity = await with_shadow(stores, tenant, activity)
    fields = (taken("One"), taken("x", path="notes"))
    await stores.activities.resolve(Answer(activity, answer(activity, *fields), corrected=False))
    assert await revision(stores, tenant) == 4
    [row] = stores.sql(
        "SELECT state, sequence, committed_at FROM gateway.vendor_activities WHERE id = %s",
        activity.change.change_id,
    )
    assert (row["state"], row["sequence"], row["committed_at"]) == ("applied", 4, SEEN_AT)
    assert due(stores, tenant) == []


@BOTH_WAYS
async def test_a_base_advances_only_for_what_the_vendor_still_shows(
    stores: Stores, tenant: Tenant, remembered: bool
) -> None:
    """An answer to the first edit, after the second was seen, leaves the base of the second alone."""
    await an_edit(stores, tenant, title="One")
    activity = await claimed(stores)
    if remembered:
        activity = await with_shadow(stores, tenant, activity)
    await an_edit(stores, tenant, title="Two")
    await stores.activities.resolve(Answer(activity, answer(activity, taken("One")), corrected=False))
    assert await revision(stores, tenant) == 0


async def test_a_loser_is_to_be_corrected(stores: Stores, tenant: Tenant) -> None:
    """A superseded value advances nothing and makes the record due once, however often it is said."""
    change = await an_edit(stores, tenant, title="One")
    activity = await claimed(stores)
    lost = answer(activity, taken("One", Outcome.SUPERSEDED))
    for _ in range(2):
        await stores.activities.resolve(Answer(activity, lost, corrected=True))
    assert await revision(stores, tenant) == 0
    assert due(stores, tenant) == [change.change_id]


@BOTH_WAYS
async def test_a_refused_change_keeps_its_reason(stores: Stores, tenant: Tenant, remembered: bool) -> None:
    """A rejected change rests with the reason, and frees the next change of its record."""
    await an_edit(stores, tenant, title="One")
    activity = await claimed(stores)
    if remembered:
        activity = await with_shadow(stores, tenant, activity)
    after = await an_edit(stores, tenant, title="Two")
    await stores.activities.resolve(
        Answer(activity, answer(activity, outcome=Outcome.REJECTED), corrected=False)
    )
    [row] = stores.sql(
        "SELECT state, reason, sequence FROM gateway.vendor_activities WHERE id = %s",
        activity.change.change_id,
    )
    assert row == {"state": "rejected", "reason": "because", "sequence": None}
    assert (await claimed(stores)).change == after


async def test_what_is_remembered_of_a_record_is_no_look_at_it(stores: Stores, tenant: Tenant) -> None:
    """Where the record was brought up to date meanwhile, what it shows now stays, and its base advances."""
    await an_edit(stores, tenant, title="One", notes="as before")
    activity = await with_shadow(stores, tenant, await claimed(stores))
    held = await stores.leases.take(tenant.key(), EVENT)
    assert held is not None
    after = seen(held, title="One", notes="as told").shadow
    await stores.deliveries.close(held, state="delivered", shadow=after)
    await stores.activities.resolve(Answer(activity, answer(activity, taken("One")), corrected=False))
    shadow = await stores.links.record_of(tenant.link, tenant.item_id)
    assert shadow is not None
    assert {path: (shown.value, shown.revision) for path, shown in shadow.fields.items()} == {
        "title": ("One", 4),
        "notes": ("as told", 0),
    }


@BOTH_WAYS
async def test_an_answer_that_comes_twice_counts_once(
    stores: Stores, tenant: Tenant, remembered: bool
) -> None:
    """The first stands, also where others are answered at the same time; for the second nothing is due."""
    other = await new_tenant(stores)
    changes = [await an_edit(stores, each, title="Vows") for each in (tenant, other)]
    sent = {activity.change.change_id: activity for activity in await stores.activities.claim(100)}
    mine, others = (sent[change.change_id] for change in changes)
    if remembered:
        mine, others = (
            await with_shadow(stores, tenant, mine),
            await with_shadow(stores, other, others),
        )
    await stores.activities.resolve(Answer(mine, answer(mine, taken("Vows")), corrected=False))
    await asyncio.gather(
        stores.activities.resolve(Answer(mine, answer(mine, outcome=Outcome.REJECTED), corrected=True)),
        stores.activities.resolve(Answer(others, answer(others, taken("Vows")), corrected=False)),
    )
    ids = [change.change_id for change in changes]
    rows = stores.sql("SELECT state, reason FROM gateway.vendor_activities WHERE id = ANY(%s::uuid[])", ids)
    assert rows == [{"state": "applied", "reason": ""}] * 2
    assert due(stores, tenant) == []


async def test_a_record_without_shadow_is_passed_by(stores: Stores, tenant: Tenant) -> None:
    """An answer about a record whose shadow is no more is recorded without advancing anything."""
    await an_edit(stores, tenant, title="One")
    activity = await claimed(stores)
    stores.sql("DELETE FROM gateway.shadow_items WHERE link_id = %s", tenant.link.link_id)
    await stores.activities.resolve(Answer(activity, answer(activity, taken("One")), corrected=False))
    assert await stores.leases.take(tenant.key(), EVENT) is not None
    assert await stores.activities.claim(10) == []
