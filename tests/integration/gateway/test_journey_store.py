"""Reading back on a real PostgreSQL: pages of webhooks and deliveries, and the path of one edit."""

from __future__ import annotations

from typing import Any

from services.gateway.journey_words import summary
from services.gateway.store.activities import Answer
from services.gateway.store.journeys import Place, Wanted
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


async def test_webhooks_are_listed_newest_first(stores: Stores, tenant: Tenant) -> None:
    """Pages hold the organization's own webhooks, filtered by state and vendor, without gap or repeat."""
    arrivals = [tenant.arrival() for _ in range(5)]
    await stores.inbound.accept(arrivals)
    await stores.inbound.accept([(await new_tenant(stores)).arrival()])
    organization, listed, after = tenant.link.organization_id, list[str](), None
    while page := await stores.journeys.webhooks(organization, Wanted(), after=after, limit=2):
        listed += [str(row["id"]) for row in page]
        after = Place(at=page[-1]["accepted_at"], id=str(page[-1]["id"]))
    assert sorted(listed) == sorted(arrival.webhook_id for arrival in arrivals)
    for state, vendor, count in (("received", "tave", 5), ("parked", "", 0), ("", "apple_calendar", 0)):
        page = await stores.journeys.webhooks(
            organization, Wanted(state=state, vendor=vendor), after=None, limit=9
        )
        assert len(page) == count


async def test_deliveries_are_listed_newest_first(stores: Stores, tenant: Tenant) -> None:
    """Pages hold deliveries to the organization's own links only, though the wedding has others."""
    wedding = tenant.link.wedding_id
    colleague = await new_tenant(stores, wedding_id=wedding)
    await stores.deliveries.accept(
        [a_commit(wedding, an_item(new_id(), title="x"), number) for number in range(1, 6)]
    )
    organization, listed, after = tenant.link.organization_id, list[str](), None
    while page := await stores.journeys.deliveries(
        organization, wedding_id=wedding, state="due", after=after, limit=2
    ):
        listed += [str(row["id"]) for row in page]
        assert {str(row["link_id"]) for row in page} == {tenant.link.link_id}
        after = Place(at=page[-1]["created_at"], id=str(page[-1]["id"]))
    assert len(listed) == len(set(listed)) == 5
    assert await stores.journeys.due(organization, wedding) == {tenant.link.link_id: 5}
    assert await stores.journeys.due(colleague.link.organization_id, wedding) == {colleague.link.link_id: 5}
    assert await stores.journeys.due(organization, new_id()) == {}


async def test_a_journey_leads_from_the_webhook_to_every_delivery(stores: Stores, tenant: Tenant) -> None:
    """Asked by webhook or by change, it holds the webhook, its change and the change's deliveries."""
    arrival, organization = tenant.arrival(), tenant.link.organization_id
    await stores.inbound.accept([arrival])
    change = await an_edit(stores, tenant, webhook_id=arrival.webhook_id, title="Vows")
    [activity] = await stores.activities.claim(5)
    applied = ChangeResult(
        change_id=change.change_id, outcome=Outcome.APPLIED, sequence=3, committed_at=SEEN_AT
    )
    await stores.activities.resolve(Answer(activity, applied, corrected=False))
    item = an_item(tenant.item_id, title="Vows")
    await stores.deliveries.accept([a_commit(tenant.link.wedding_id, item, 3, change_id=change.change_id)])
    for asked in (arrival.webhook_id, change.change_id):
        steps = await stores.journeys.steps(organization, asked)
        assert steps.webhook is not None
        assert [(c.webhook_id, c.state, c.sequence) for c in steps.changes] == [
            (arrival.webhook_id, "applied", 3)
        ]
        assert [(d.change_id, d.vendor, d.state) for d in steps.deliveries] == [
            (change.change_id, "tave", "due")
        ]
    nobody = await stores.journeys.steps(new_id(), change.change_id)
    assert (nobody.webhook, nobody.changes, nobody.deliveries) == (None, [], [])


async def test_a_change_through_the_api_has_deliveries_only(stores: Stores, tenant: Tenant) -> None:
    """A change that no vendor made is found by its id through its deliveries."""
    commit = a_commit(tenant.link.wedding_id, an_item(tenant.item_id, title="Vows"), 1)
    await stores.deliveries.accept([commit])
    held = await stores.leases.take(tenant.key(), EVENT)
    assert held is not None
    await stores.deliveries.close(held, state="delivered", called_at=SEEN_AT)
    steps = await stores.journeys.steps(tenant.link.organization_id, commit.change_id)
    assert (steps.webhook, steps.changes) == (None, [])
    assert [step.state for step in steps.deliveries] == ["delivered"]


async def test_a_record_that_a_poll_showed_is_no_webhook(stores: Stores, tenant: Tenant) -> None:
    """What a poll parked is told as found, and how often, whichever poll found it first."""
    bad: dict[str, Any] = {"origin": "poll", "delivery_key": "bad:1", "parked": "job/7: no title"}
    first, again = tenant.arrival(**bad), tenant.arrival(**bad)
    await stores.inbound.accept([first])
    await stores.inbound.accept([again])
    steps = await stores.journeys.steps(tenant.link.organization_id, first.webhook_id)
    assert summary(steps) == (
        "A look at tave found a record. It was found once more; a repetition does nothing. "
        "It could not be read; it is parked until someone acts: job/7: no title."
    )


async def test_a_journey_tells_what_was_tried_again(stores: Stores, tenant: Tenant) -> None:
    """Tries of reading a webhook and of handing over its edit are counted from what was recorded."""
    arrival = tenant.arrival()
    await stores.inbound.accept([arrival])
    await an_edit(stores, tenant, webhook_id=arrival.webhook_id, title="Vows")
    for _ in range(3):
        await stores.inbound.claim(5)
        await stores.activities.claim(5)
        stores.leases_end()
    said = summary(await stores.journeys.steps(tenant.link.organization_id, arrival.webhook_id))
    assert "It is still to be read after 3 tries." in said
    assert "The edit is on its way into the wedding after 3 tries." in said


async def test_a_correction_is_told_without_a_commit(stores: Stores, tenant: Tenant) -> None:
    """An edit that was refused leads to its vendor being brought back, by a sequence of nobody's."""
    change = await an_edit(stores, tenant, title="Vows")
    [activity] = await stores.activities.claim(5)
    late = ChangeResult(change_id=change.change_id, outcome=Outcome.REJECTED, reason="too long")
    await stores.activities.resolve(Answer(activity, late, corrected=True))
    said = summary(await stores.journeys.steps(tenant.link.organization_id, change.change_id))
    assert said == (
        "A look at tave found an edit. The edit was refused: too long. "
        "tave is still to be brought back to the wedding's values."
    )


async def test_a_colleagues_edit_is_not_called_ones_own(stores: Stores, tenant: Tenant) -> None:
    """Another organization that is linked to the wedding learns that there was an edit, not whose."""
    colleague = await new_tenant(stores, wedding_id=tenant.link.wedding_id, vendor="apple_calendar")
    change = await an_edit(stores, tenant, title="Vows")
    item = an_item(tenant.item_id, title="Vows")
    await stores.deliveries.accept([a_commit(tenant.link.wedding_id, item, 3, change_id=change.change_id)])
    said = summary(await stores.journeys.steps(colleague.link.organization_id, change.change_id))
    assert "through the API or another organization's vendor was committed as sequence 3" in said
    assert "tave" not in said
