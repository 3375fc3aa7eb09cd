"""Accounts that change or end and links that were planned, on a real PostgreSQL."""

from __future__ import annotations

from dataclasses import replace

import pytest

from services.gateway.calls.oauth2 import Tokens
from services.gateway.calls.renewal import Step
from services.gateway.store.integration_rows import Integration
from services.gateway.store.links import Match, endpoint_hash
from services.gateway.store.tokens import Place
from tests.support.gateway_store import (
    EVENT,
    PASSWORD,
    TRACE,
    Stores,
    Tenant,
    a_commit,
    a_link,
    an_item,
)
from wedsync.errors import InvalidRequest, StaleRevision
from wedsync.model.ids import new_id

TOKENS = Tokens(access_token="a", refresh_token="r", lifetime=60)


async def integration_of(stores: Stores, tenant: Tenant) -> Integration:
    """Return the tenant's account."""
    found = await stores.links.integration([tenant.link.organization_id], tenant.link.integration_id)
    assert found is not None
    return found


async def test_disconnecting_stops_all_work_and_keeps_history(stores: Stores, tenant: Tenant) -> None:
    """Nothing is due, polled or let in any more, and the credentials are gone; what happened stays."""
    wedding, link = tenant.link.wedding_id, tenant.link
    await stores.inbound.accept([tenant.arrival()])
    place = Place(organization_id=link.organization_id, integration_id=link.integration_id)
    await stores.tokens.decide(place, lambda: TOKENS, lambda _: Step.USE)
    await stores.deliveries.accept([a_commit(wedding, an_item(tenant.item_id, title="Cake"), 1)])
    for _ in range(2):
        await stores.endings.disconnect(link.organization_id, link.integration_id, reason="disconnected")
    ended = await stores.links.find_link([link.organization_id], link.link_id)
    assert ended is not None
    assert (ended.ended, ended.active, ended.reason) == (True, False, "disconnected")
    assert await stores.polls.claim(5) == []
    assert await stores.deliveries.claim(5) == []
    assert await stores.secrets.door(endpoint_hash(tenant.endpoint_key)) is None
    integration = await integration_of(stores, tenant)
    assert integration.disconnected_at is not None
    assert PASSWORD not in str(stores.links.account(integration).credentials)
    secrets = "SELECT 1 FROM gateway.webhook_secrets WHERE integration_id = %s"
    assert stores.sql(secrets, link.integration_id) == []
    assert (
        stores.sql("SELECT 1 FROM gateway.access_tokens WHERE integration_id = %s", link.integration_id) == []
    )
    await stores.deliveries.accept([a_commit(wedding, an_item(tenant.item_id, title="Vows"), 2)])
    rows = stores.sql("SELECT state, reason FROM gateway.vendor_deliveries WHERE link_id = %s", link.link_id)
    assert [tuple(row.values()) for row in rows] == [("nothing_to_do", "disconnected")]
    [kept] = stores.sql(
        "SELECT count(*) AS rows FROM gateway.webhook_log WHERE organization_id = %s", link.organization_id
    )
    assert kept["rows"] == 1


async def test_a_link_that_ended_stays_so(stores: Stores, tenant: Tenant) -> None:
    """Neither a resume nor the end of a scan brings it back; other links of the account go on."""
    link = tenant.link
    other = await stores.links.link(
        a_link(link.organization_id, link.integration_id, wedding_id=new_id()),
        request_id=new_id(),
        trace_parent=TRACE,
    )
    await stores.endings.unlink(link, reason="unlinked")
    await stores.links.set_state(link, active=True)
    states = await stores.links.links([link.organization_id], integration_id=link.integration_id)
    assert {one.link_id: one.state for one in states} == {link.link_id: "ended", other.link_id: "active"}
    assert [due.link.link_id for due in await stores.polls.claim(5)] == [other.link_id]


async def test_new_credentials_end_the_pause_that_waited_for_them(stores: Stores, tenant: Tenant) -> None:
    """What was paused or given up because the old ones were refused goes on; what people paused does not."""
    link = tenant.link
    asked = await stores.links.link(
        a_link(link.organization_id, link.integration_id, wedding_id=new_id()),
        request_id=new_id(),
        trace_parent=TRACE,
    )
    await stores.links.set_state(link, active=False, reason="401. Connect the account again.")
    await stores.links.set_state(asked, active=False, reason="paused by request")
    for sequence, cause in enumerate(("rejected", "auth"), 1):
        item = an_item(tenant.item_id, title=cause)
        await stores.deliveries.accept([a_commit(link.wedding_id, item, sequence)])
        await stores.deliveries.stop(tenant.key(), state="parked", reason="401", cause=cause)
    before = await integration_of(stores, tenant)
    account = stores.links.account(before)
    after = await stores.links.update(before, replace(account, credentials={"password": "new"}))
    assert stores.links.account(after).credentials == {"password": "new"}
    assert stores.links.endpoint_key(after) == tenant.endpoint_key
    states = await stores.links.links([link.organization_id], integration_id=link.integration_id)
    assert {one.link_id: (one.state, one.account_version) for one in states} == {
        link.link_id: ("active", 2),
        asked.link_id: ("paused", 2),
    }
    rows = stores.sql("SELECT cause, state FROM gateway.vendor_deliveries WHERE link_id = %s", link.link_id)
    assert {row["cause"]: row["state"] for row in rows} == {"rejected": "parked", "auth": "due"}
    with pytest.raises(StaleRevision):
        await stores.links.update(before, account)


async def test_what_is_the_same_on_both_sides_is_kept_with_the_link(stores: Stores, tenant: Tenant) -> None:
    """The item expects its record until it is seen; an item of no wedding of ours is refused."""
    link, item = tenant.link, new_id()
    await stores.deliveries.accept([a_commit(link.wedding_id, an_item(item, title="Cake"), 1)])
    assert [one.item_id for one in await stores.projection.items(link.wedding_id)] == [item]
    fresh = a_link(link.organization_id, link.integration_id, wedding_id=link.wedding_id)
    made = await stores.links.link(
        fresh,
        request_id=new_id(),
        trace_parent=TRACE,
        matches=[Match(record_id="event/7", item_id=item)],
    )
    assert await stores.links.item_expecting(made, "event/7") == item
    assert await stores.links.item_expecting(link, "event/7") is None
    key = replace(tenant.key(item), link_id=made.link_id)
    held = await stores.leases.take(key, EVENT)
    assert held is not None
    assert (held.shadow.expected, held.shadow.present) == ("event/7", False)
    peeked = await stores.leases.peek(key, EVENT)
    assert (peeked.shadow, peeked.item) == (held.shadow, held.item)
    stores.sql("UPDATE gateway.shadow_items SET record_id = 'event/7' WHERE link_id = %s", made.link_id)
    assert await stores.links.item_expecting(made, "event/7") is None
    with pytest.raises(InvalidRequest):
        await stores.links.link(
            a_link(link.organization_id, link.integration_id, wedding_id=link.wedding_id),
            request_id=new_id(),
            trace_parent=TRACE,
            matches=[Match(record_id="event/7", item_id=new_id())],
        )
