"""What is stuck, on a real PostgreSQL: set apart, found, replayed once, tried again."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from services.gateway.store.inbound import Arrival, Received
from services.gateway.store.journeys import Place, Wanted
from services.gateway.store.stuck import Dead, Replayable
from tests.support.gateway_store import (
    EVENT,
    SEEN_AT,
    TRACE,
    Stores,
    Tenant,
    a_cause,
    a_change,
    a_commit,
    an_edit,
    an_item,
    new_tenant,
    seen,
)
from wedsync.model.ids import new_id

OTHER_TRACE = "00-1af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"


def apart(tenant: Tenant, record: str = "event/1", **but: Any) -> Arrival:
    """Return a record that is set apart."""
    link = tenant.link.link_id
    return tenant.arrival(b"", **{"link_id": link, "record_id": record, "reason": "busy", **but})


async def parked(stores: Stores, tenant: Tenant, reason: str = "it has no title", **but: Any) -> Received:
    """Return a webhook that was parked."""
    await stores.inbound.accept([tenant.arrival(b'{"n": 1}', **but)])
    [webhook] = await stores.inbound.claim(5)
    await stores.inbound.finish(webhook, state="parked", reason=reason, cause="garbage")
    return webhook


async def found(stores: Stores, tenant: Tenant, *ids: str, **wanted: Any) -> list[Replayable]:
    """Return what can be replayed."""
    organization = tenant.link.organization_id
    return await stores.stuck.replayable(organization, Wanted(**wanted), ids=ids, after=None, limit=9)


async def test_a_record_set_apart_waits_once(stores: Stores, tenant: Tenant) -> None:
    """It is claimed like a webhook; while it waits, or is parked for the same reason, it is not doubled."""
    await stores.inbound.set_apart([apart(tenant), apart(tenant, "event/2")])
    await stores.inbound.set_apart([apart(tenant)])
    claimed = await stores.inbound.claim(5)
    assert sorted((one.record_id, one.attempts) for one in claimed) == [("event/1", 2), ("event/2", 2)]
    assert {one.link_id for one in claimed} == {tenant.link.link_id}
    for one in claimed:
        await stores.inbound.finish(one, state="parked", reason="no title")
    await stores.inbound.set_apart([apart(tenant, parked="no title"), apart(tenant, parked="no date")])
    page = await stores.journeys.webhooks(
        tenant.link.organization_id, Wanted(reason="NO DATE"), after=None, limit=9
    )
    assert [(row["record_id"], row["state"]) for row in page] == [("event/1", "parked")]


async def test_a_record_being_read_may_be_set_apart_again(stores: Stores, tenant: Tenant) -> None:
    """Whoever reads it now may have read it too early."""
    await stores.inbound.set_apart([apart(tenant)])
    assert len(await stores.inbound.claim(5)) == 1
    await stores.inbound.set_apart([apart(tenant)])
    assert len(await stores.inbound.claim(5)) == 1


async def test_what_is_set_apart_and_its_webhook_are_one_commit(stores: Stores, tenant: Tenant) -> None:
    """The webhook is through when its records wait, and its journey tells of them."""
    await stores.inbound.accept([tenant.arrival()])
    [webhook] = await stores.inbound.claim(5)
    record = apart(tenant, parent_id=webhook.webhook_id)
    await stores.inbound.set_apart([record], done=webhook, reason="set apart: event/1")
    steps = await stores.journeys.steps(tenant.link.organization_id, webhook.webhook_id)
    assert steps.webhook is not None
    assert (steps.webhook.state, steps.webhook.reason) == ("processed", "set apart: event/1")
    assert [(part.id, part.record_id, part.state) for part in steps.parts] == [
        (record.webhook_id, "event/1", "received")
    ]


async def test_what_was_not_tried_loses_no_try(stores: Stores, tenant: Tenant) -> None:
    """A record of a paused link waits without using up its tries."""
    await stores.inbound.set_apart([apart(tenant)])
    for _ in range(3):
        [waiting] = await stores.inbound.claim(5)
        assert waiting.attempts == 2
        await stores.inbound.postpone(waiting, seconds=0, reason="paused", untried=True)


async def test_webhooks_are_narrowed_down(stores: Stores, tenant: Tenant) -> None:
    """By state, vendor, words of the reason in any case, cause, and time; each alone and together."""
    webhook = await parked(stores, tenant)
    at = webhook.accepted_at
    day = timedelta(days=1)
    for wanted in (
        Wanted(state="parked", vendor="tave", reason="NO TITLE", cause="garbage"),
        Wanted(since=at, until=at + day),
        Wanted(),
    ):
        assert len(await found(stores, tenant, **_as_names(wanted))) == 1
    for wanted in (
        Wanted(state="processed"),
        Wanted(vendor="slack"),
        Wanted(reason="no start"),
        Wanted(cause="auth"),
        Wanted(since=at + day),
        Wanted(until=at),
    ):
        assert await found(stores, tenant, **_as_names(wanted)) == []
    stranger = await new_tenant(stores)
    assert await found(stores, stranger, webhook.webhook_id) == []


def _as_names(wanted: Wanted) -> dict[str, Any]:
    names = wanted.names()
    return {name: value for name, value in names.items() if value}


async def test_a_webhook_is_replayed_once_per_request(stores: Stores, tenant: Tenant) -> None:
    """The replay has the body, a trace of its own, and its origin; the first is parked no longer."""
    first = await parked(stores, tenant)
    [replayable] = await found(stores, tenant, first.webhook_id)
    request, pairs = new_id(), [(replayable, OTHER_TRACE)]
    replayed = [await stores.stuck.replay(pairs, request_id=request, at=SEEN_AT) for _ in range(2)]
    assert replayed[0] == replayed[1]
    [again] = await stores.inbound.claim(5)
    assert (again.webhook_id, again.body, again.trace_parent) == (replayed[0][0], b'{"n": 1}', OTHER_TRACE)
    assert (again.parent_id, again.attempts) == (first.webhook_id, 1)
    assert await found(stores, tenant, state="parked") == []
    steps = await stores.journeys.steps(tenant.link.organization_id, first.webhook_id)
    assert steps.webhook is not None
    assert (steps.webhook.state, [part.origin for part in steps.parts]) == ("replayed", ["replay"])


async def test_replays_do_not_multiply(stores: Stores, tenant: Tenant) -> None:
    """A replay that went through is replayed by name only; one that got stuck counts as its first."""
    first = await parked(stores, tenant)
    [replayable] = await found(stores, tenant, first.webhook_id)
    await stores.stuck.replay([(replayable, TRACE)], request_id=new_id(), at=SEEN_AT)
    assert [one.received.webhook_id for one in await found(stores, tenant)] == [first.webhook_id]
    [again] = await stores.inbound.claim(5)
    await stores.inbound.finish(again, state="parked", reason="still no title")
    [stuck] = await found(stores, tenant, state="parked")
    assert (stuck.received.webhook_id, stuck.root_id) == (again.webhook_id, first.webhook_id)
    await stores.inbound.finish(again, state="processed")
    assert await found(stores, tenant, state="processed") == []
    assert len(await found(stores, tenant, again.webhook_id)) == 1


async def test_what_is_still_worked_on_is_not_replayed(stores: Stores, tenant: Tenant) -> None:
    """A webhook that waits, and a polled record that nobody can name, are left out."""
    await stores.inbound.accept([tenant.arrival(), tenant.arrival(origin="poll", parked="no start")])
    assert await found(stores, tenant) == []


async def _park_delivery(stores: Stores, tenant: Tenant, title: str, item: str) -> None:
    commit = a_commit(tenant.link.wedding_id, an_item(item, title=title), 1)
    await stores.deliveries.accept([commit])
    await stores.deliveries.stop(tenant.key(item), state="parked", reason=f"{title}: 401", cause="auth")


async def test_parked_deliveries_are_due_again(stores: Stores, tenant: Tenant) -> None:
    """Found by id, link, vendor, reason and cause, page by page; each tries anew in a trace of its own."""
    items = [new_id() for _ in range(3)]
    for number, item in enumerate(items):
        await _park_delivery(stores, tenant, f"Cake {number}", item)
    organization = tenant.link.organization_id
    first = await stores.stuck.dead(organization, Dead(cause="auth"), after=None, limit=2)
    place = Place(at=first[-1]["created_at"], id=str(first[-1]["id"]))
    rest = await stores.stuck.dead(organization, Dead(cause="auth"), after=place, limit=2)
    assert {str(row["item_id"]) for row in (*first, *rest)} == set(items)
    assert (len(first), len(rest)) == (2, 1)
    for dead, count in (
        (Dead(ids=[str(first[0]["id"])]), 1),
        (Dead(link_id=tenant.link.link_id, vendor="tave"), 3),
        (Dead(reason="cake 1"), 1),
        (Dead(vendor="slack"), 0),
        (Dead(link_id=new_id()), 0),
    ):
        assert len(await stores.stuck.dead(organization, dead, after=None, limit=9)) == count
    assert await stores.stuck.dead(new_id(), Dead(), after=None, limit=9) == []
    assert await stores.deliveries.claim(9) == []
    await stores.stuck.retry(organization, [(first[0], OTHER_TRACE)])
    [due] = await stores.deliveries.claim(9)
    assert due.key.item_id == str(first[0]["item_id"])
    assert (due.attempt, due.trace_parent) == (1, OTHER_TRACE)


async def test_a_record_brought_up_to_date_leaves_nothing_parked(stores: Stores, tenant: Tenant) -> None:
    """A later delivery of the same record settles what was parked for it."""
    item = tenant.item_id
    await _park_delivery(stores, tenant, "Cake", item)
    await stores.deliveries.accept([a_commit(tenant.link.wedding_id, an_item(item, title="Vows"), 2)])
    held = await stores.leases.take(tenant.key(item), EVENT)
    assert held is not None
    await stores.deliveries.close(held, state="delivered")
    rows = stores.sql(
        "SELECT state, cause FROM gateway.vendor_deliveries WHERE link_id = %s", tenant.link.link_id
    )
    assert [tuple(row.values()) for row in rows] == [("delivered", "")] * 2


async def test_backfills_go_behind_and_hurry_for_a_live_edit(stores: Stores, tenant: Tenant) -> None:
    """What people do now is claimed first; an edit of a record takes along what waits before it."""
    old, new = new_id(), new_id()
    for item in (old, new):
        held = await stores.leases.take(tenant.key(item), EVENT)
        assert held is not None
        change = a_change(tenant, held, {"title": "Vows"})
        cause = replace(a_cause(), backfill=True)
        await stores.inbound.commit_observation(held, seen(held, title="Vows"), change, cause, [])
    await an_edit(stores, tenant, title="Toast")
    claimed = await stores.activities.claim(2)
    assert {one.item_id: one.backfill for one in claimed} == {tenant.item_id: False, old: True}
    stores.leases_end()
    await an_edit(stores, tenant, item_id=new, title="First dance")
    claimed = await stores.activities.claim(9)
    assert {one.item_id: one.backfill for one in claimed} == {tenant.item_id: False, new: False, old: True}


@pytest.mark.parametrize("table", ["webhook_log", "vendor_deliveries"])
async def test_another_tenants_stuck_things_stay_theirs(stores: Stores, tenant: Tenant, table: str) -> None:
    """Named by their ids, they can neither be replayed nor retried."""
    await parked(stores, tenant)
    await _park_delivery(stores, tenant, "Cake", tenant.item_id)
    ids = [str(row["id"]) for row in stores.sql(f"SELECT id FROM gateway.{table}")]
    stranger = new_id()
    assert await stores.stuck.replayable(stranger, Wanted(), ids=ids, after=None, limit=9) == []
    assert await stores.stuck.dead(stranger, Dead(ids=ids), after=None, limit=9) == []
