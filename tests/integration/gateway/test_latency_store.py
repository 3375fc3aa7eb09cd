"""Latency on a real PostgreSQL: percentiles by stage and vendor, of one's own journeys only."""

from __future__ import annotations

import pytest

from services.gateway.store.activities import Answer
from services.gateway.store.latency import StageLatency
from tests.support.gateway_store import (
    EVENT,
    SEEN_AT,
    Stores,
    Tenant,
    a_commit,
    an_edit,
    an_item,
    new_tenant,
)
from wedsync.model.changes import Change, ChangeResult, Outcome
from wedsync.model.ids import new_id

# Each delivery was told of a minute ago, came to the gateway 5 ms later, waited 7 ms, and its call took as
# many times 10 ms as its place in the order of commits.
_WRITTEN = """
    UPDATE gateway.vendor_deliveries SET
      created_at = now() - interval '1 minute',
      accepted_at = now() - interval '1 minute' + interval '5 ms',
      started_at = now() - interval '1 minute' + interval '12 ms',
      called_at = now() - interval '1 minute' + interval '12 ms',
      confirmed_at = now() - interval '59988 ms' + greatest(sequence, 1) * interval '10 ms',
      state = 'delivered'
    WHERE wedding_id = %s
"""


async def _edits_through_the_api(stores: Stores, tenant: Tenant, count: int) -> None:
    """Record edits that no vendor made, each written to the vendors of its wedding."""
    commits = [
        a_commit(tenant.link.wedding_id, an_item(new_id(), title="Vows"), place)
        for place in range(1, count + 1)
    ]
    await stores.deliveries.accept(commits)
    stores.sql(_WRITTEN, tenant.link.wedding_id)


async def _stages(stores: Stores, tenant: Tenant) -> dict[tuple[str, str], StageLatency]:
    found = await stores.latency.stages(tenant.link.organization_id, wedding_id=None, seconds=3600)
    return {(stage.vendor, stage.stage): stage for stage in found}


async def _journey(stores: Stores, tenant: Tenant) -> Change:
    """Record one edit from the webhook to a confirmed write."""
    arrival = tenant.arrival()
    await stores.inbound.accept([arrival])
    [webhook] = await stores.inbound.claim(5)
    change = await an_edit(stores, tenant, webhook_id=arrival.webhook_id, title="Vows")
    await stores.inbound.finish(webhook, state="processed")
    [activity] = await stores.activities.claim(5)
    applied = ChangeResult(
        change_id=change.change_id, outcome=Outcome.APPLIED, sequence=3, committed_at=SEEN_AT
    )
    await stores.activities.resolve(Answer(activity, applied, corrected=False))
    item = an_item(tenant.item_id, title="Vows")
    commit = a_commit(tenant.link.wedding_id, item, 3, change_id=change.change_id)
    await stores.deliveries.accept([commit])
    stores.sql("UPDATE gateway.vendor_deliveries SET started_at = accepted_at WHERE state = 'due'")
    held = await stores.leases.take(tenant.key(), EVENT)
    assert held is not None
    await stores.deliveries.close(held, state="delivered", called_at=SEEN_AT)
    return change


async def test_each_stage_is_summed_up_by_vendor(stores: Stores, tenant: Tenant) -> None:
    """Every stage an edit passed is there, in its order, with rising percentiles."""
    await _journey(stores, tenant)
    # The clock of these records stands still: the window is reached by dating them just now.
    stores.sql("UPDATE gateway.vendor_deliveries SET created_at = clock_timestamp() - interval '1 minute'")
    found = await stores.latency.stages(
        tenant.link.organization_id, wedding_id=tenant.link.wedding_id, seconds=3600
    )
    assert [stage.stage for stage in found] == [
        "accept",
        "translate",
        "commit",
        "hand_over",
        "wait",
        "call",
        "total",
    ]
    assert {stage.vendor for stage in found} == {"tave"}
    assert all(stage.count == 1 and stage.p50 <= stage.p95 <= stage.p99 for stage in found)
    assert found == await stores.latency.stages(tenant.link.organization_id, wedding_id=None, seconds=3600)


async def test_nobody_sees_anothers_journeys(stores: Stores, tenant: Tenant) -> None:
    """Another organization, another wedding and a time before have nothing to sum up."""
    await _journey(stores, tenant)
    other = await new_tenant(stores)
    organization = tenant.link.organization_id
    assert await stores.latency.stages(other.link.organization_id, wedding_id=None, seconds=3600) == []
    assert await stores.latency.stages(organization, wedding_id=new_id(), seconds=3600) == []


async def test_percentiles_lie_between_what_was_measured(stores: Stores, tenant: Tenant) -> None:
    """Calls of 10 to 100 ms have their middle at 55 ms; what was equal for all is that for all."""
    await _edits_through_the_api(stores, tenant, 10)
    found = await _stages(stores, tenant)
    call = found["tave", "call"]
    assert call.count == 10
    assert (call.p50, call.p95, call.p99) == pytest.approx((55.0, 95.5, 99.1))
    hand_over, wait = found["tave", "hand_over"], found["tave", "wait"]
    assert (hand_over.p50, hand_over.p99, wait.p50, wait.p99) == pytest.approx((5.0, 5.0, 7.0, 7.0))


async def test_the_total_of_an_edit_through_the_api_is_no_vendors(stores: Stores, tenant: Tenant) -> None:
    """It is from the commit to the confirmed write, and nobody told of it."""
    await _edits_through_the_api(stores, tenant, 1)
    found = await _stages(stores, tenant)
    assert list(found) == [("", "total"), ("tave", "hand_over"), ("tave", "wait"), ("tave", "call")]
    assert found["", "total"].p50 == pytest.approx(22.0)


async def test_the_total_of_a_vendors_edit_begins_with_its_webhook(stores: Stores, tenant: Tenant) -> None:
    """It is from the first byte of the webhook to the confirmed write at another vendor, whoever that is."""
    other = await new_tenant(
        stores,
        organization_id=tenant.link.organization_id,
        wedding_id=tenant.link.wedding_id,
        vendor="apple_calendar",
    )
    change = await _journey(stores, tenant)
    stores.sql(_WRITTEN, tenant.link.wedding_id)
    stores.sql(
        "UPDATE gateway.vendor_deliveries SET confirmed_at = NULL WHERE link_id = %s", tenant.link.link_id
    )
    stores.sql(
        "UPDATE gateway.webhook_log SET detected_at = d.created_at - interval '100 ms'"
        " FROM gateway.vendor_deliveries d JOIN gateway.vendor_activities a ON a.id = d.change_id"
        " WHERE webhook_log.id = a.webhook_id AND a.id = %s AND d.link_id = %s",
        change.change_id,
        other.link.link_id,
    )
    found = await _stages(stores, tenant)
    assert found["tave", "total"].p50 == pytest.approx(142.0)
    assert found["apple_calendar", "call"].p50 == pytest.approx(30.0)
    assert ("apple_calendar", "total") not in found


async def test_a_colleagues_vendor_at_the_same_wedding_is_not_counted(stores: Stores, tenant: Tenant) -> None:
    """The same commits are written to another organization's vendor, whose times stay its own."""
    colleague = await new_tenant(stores, wedding_id=tenant.link.wedding_id, vendor="apple_calendar")
    await _edits_through_the_api(stores, tenant, 4)
    stores.sql(
        "UPDATE gateway.vendor_deliveries SET confirmed_at = NULL WHERE link_id = %s AND sequence > 1",
        colleague.link.link_id,
    )
    mine, theirs = await _stages(stores, tenant), await _stages(stores, colleague)
    assert (mine["tave", "call"].count, theirs["apple_calendar", "call"].count) == (4, 1)
    assert {vendor for vendor, _ in mine} == {"", "tave"}


async def test_what_no_commit_made_due_is_no_edits_way(stores: Stores, tenant: Tenant) -> None:
    """A vendor that is corrected, and one that is linked late, would only blur how long an edit takes."""
    await an_edit(stores, tenant, title="Vows")
    [activity] = await stores.activities.claim(5)
    late = ChangeResult(change_id=activity.change.change_id, outcome=Outcome.SUPERSEDED)
    await stores.activities.resolve(Answer(activity, late, corrected=True))
    stores.sql(_WRITTEN, tenant.link.wedding_id)
    assert await _stages(stores, tenant) == {}
    await _edits_through_the_api(stores, tenant, 1)
    stores.sql("UPDATE gateway.vendor_deliveries SET change_id = NULL")
    assert await _stages(stores, tenant) == {}


async def test_clocks_that_differ_make_no_time_negative(stores: Stores, tenant: Tenant) -> None:
    """A stage that ends before it began, by another machine's clock, took no time."""
    await _edits_through_the_api(stores, tenant, 1)
    stores.sql("UPDATE gateway.vendor_deliveries SET called_at = confirmed_at + interval '1 second'")
    assert (await _stages(stores, tenant))["tave", "call"].p50 == 0.0
