"""Claims on a real PostgreSQL pass by those who have their share of work already."""

from __future__ import annotations

from services.gateway.records import Busy, Owner
from services.gateway.store.inbound import Received
from tests.support.gateway_store import Stores, Tenant, a_commit, an_item, new_tenant
from wedsync.model.changes import Priority
from wedsync.model.ids import new_id


async def due(stores: Stores, tenant: Tenant, priority: Priority = Priority.NORMAL) -> None:
    """Let one record of the tenant's be due."""
    commit = a_commit(tenant.link.wedding_id, an_item(new_id(), title="Vows"), 1, priority=priority)
    await stores.deliveries.accept([commit])


def busy_with(tenant: Tenant) -> Busy:
    """Say that the tenant's account is busy."""
    return Busy(integrations=[tenant.link.integration_id])


async def test_due_deliveries_of_the_busy_stay_where_they_are(stores: Stores) -> None:
    """What is due of the busy is passed by; what is claimed says whose and how urgent it is."""
    first, second = await new_tenant(stores), await new_tenant(stores, vendor="slack")
    await due(stores, first)
    await due(stores, second, Priority.EMERGENCY)
    assert (
        await stores.deliveries.claim(10, Busy(integrations=busy_with(first).integrations, vendors=["slack"]))
        == []
    )
    [claimed] = await stores.deliveries.claim(10, busy_with(first))
    assert claimed.owner == Owner(integration_id=second.link.integration_id, vendor="slack")
    assert claimed.lane is Priority.EMERGENCY
    [other] = await stores.deliveries.claim(10)
    assert (other.owner.vendor, other.lane) == ("tave", Priority.NORMAL)


async def test_a_delivery_whose_try_does_not_count_has_its_tries_left(stores: Stores, tenant: Tenant) -> None:
    """A try that never reached the vendor is taken back."""
    await due(stores, tenant)
    for untried in (False, True, True):
        [claimed] = await stores.deliveries.claim(10)
        await stores.deliveries.postpone(claimed.key, seconds=0, reason="", untried=untried)
    assert claimed.attempt == 2
    assert [each.attempt for each in await stores.deliveries.claim(10)] == [2]


async def test_webhooks_of_the_busy_wait_and_come_back_untried(stores: Stores, tenant: Tenant) -> None:
    """The busy are passed by; postponed untried, a webhook has its tries left."""
    other = await new_tenant(stores, vendor="stripe")
    await stores.inbound.accept([tenant.arrival(), other.arrival()])
    [claimed] = await stores.inbound.claim(10, busy_with(tenant))
    assert claimed.owner == Owner(integration_id=other.link.integration_id, vendor="stripe")
    assert await stores.inbound.claim(10, Busy(vendors=["tave"])) == []
    await stores.inbound.postpone(claimed, seconds=0, reason="full", untried=True)
    assert by_owner(await stores.inbound.claim(10))[claimed.integration_id].attempts == 1


def by_owner(webhooks: list[Received]) -> dict[str, Received]:
    """Return webhooks by account."""
    return {webhook.integration_id: webhook for webhook in webhooks}


async def test_links_of_the_busy_are_polled_later(stores: Stores, tenant: Tenant) -> None:
    """A busy account is not polled, nor is what is put off."""
    assert await stores.polls.claim(10, busy_with(tenant)) == []
    assert await stores.polls.claim(10, Busy(vendors=["tave"])) == []
    [claimed] = await stores.polls.claim(10)
    assert claimed.owner == Owner(integration_id=tenant.link.integration_id, vendor="tave")
    await stores.polls.later(claimed, seconds=60)
    assert await stores.polls.claim(10) == []
    assert claimed.failures == 0


async def test_channels_of_the_busy_are_tended_later(stores: Stores) -> None:
    """A busy account's are left alone."""
    tenant = await new_tenant(stores, vendor="pushing")
    for busy in (busy_with(tenant), Busy(vendors=["pushing"])):
        assert await stores.channels.claim({"pushing"}, 10, busy) == []
    [claimed] = await stores.channels.claim({"pushing"}, 10)
    assert claimed.owner == Owner(integration_id=tenant.link.integration_id, vendor="pushing")
