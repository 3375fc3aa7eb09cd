"""Latency on a real PostgreSQL: percentiles by stage and vendor, of one's own journeys only."""

from __future__ import annotations

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
from wedsync.model.changes import ChangeResult, Outcome
from wedsync.model.ids import new_id


async def _journey(stores: Stores, tenant: Tenant) -> None:
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
    await stores.activities.resolve(activity, applied, corrected=False)
    item = an_item(tenant.item_id, title="Vows")
    commit = a_commit(tenant.link.wedding_id, item, 3, change_id=change.change_id)
    await stores.deliveries.accept([commit])
    stores.sql("UPDATE gateway.vendor_deliveries SET started_at = accepted_at WHERE state = 'due'")
    held = await stores.leases.take(tenant.key(), EVENT)
    assert held is not None
    await stores.deliveries.close(held, state="delivered", called_at=SEEN_AT)


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
