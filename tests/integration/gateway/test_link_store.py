"""Accounts and links on a real PostgreSQL: sealed, idempotent, polled by one."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from services.gateway.store.links import endpoint_hash, new_endpoint_key
from services.gateway.vendors.port import Account
from tests.support.database import MigratedDatabase
from tests.support.gateway_store import (
    PASSWORD,
    SEEN_AT,
    TRACE,
    Stores,
    Tenant,
    a_link,
    an_edit,
    new_tenant,
    opened_stores,
)
from wedsync.errors import WedSyncError
from wedsync.model.ids import new_id
from wedsync.runtime.vault import Vault, VaultError


def an_account() -> Account:
    """Return an account that is not stored yet."""
    return Account(
        integration_id=new_id(),
        base_url="https://vendor.test",
        credentials={"username": "ann", "password": PASSWORD},
    )


async def test_credentials_are_stored_sealed(
    stores: Stores, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """The password is in no column, log line or error of connecting; it opens for its own record only."""
    caplog.set_level(logging.DEBUG)
    account, organization = an_account(), new_id()
    values: dict[str, Any] = {"organization_id": organization, "vendor": "tave", "account": account}
    kept = await stores.links.connect(**values, request_id=new_id(), endpoint_key=new_endpoint_key())
    with pytest.raises(Exception, match=r"duplicate key|unique") as clash:
        await stores.links.connect(**values, request_id=new_id(), endpoint_key=new_endpoint_key())
    rows = stores.sql(
        "SELECT i::text AS line, encode(credentials, 'escape') AS sealed"
        " FROM gateway.vendor_integrations i WHERE organization_id = %s",
        organization,
    )
    said = repr(rows) + caplog.text + "".join(capfd.readouterr()) + str(clash.value) + repr(kept)
    assert len(rows) == 1
    assert PASSWORD not in said
    assert PASSWORD.encode().hex() not in said
    opened = stores.links.account(kept)
    assert (opened.credentials, opened.base_url) == (account.credentials, "https://vendor.test")
    with pytest.raises(VaultError):
        Vault({"m1": bytes(range(32))}, "m1").decrypt(kept.sealed, new_id())


async def test_an_endpoint_key_is_stored_as_its_hash(stores: Stores, tenant: Tenant) -> None:
    """The key in a webhook's address is nowhere in the database; two keys never are the same."""
    [row] = stores.sql(
        "SELECT hash FROM gateway.endpoint_keys WHERE integration_id = %s", tenant.link.integration_id
    )
    assert bytes(row["hash"]) == endpoint_hash(tenant.endpoint_key)
    assert tenant.endpoint_key.encode() not in bytes(row["hash"])
    assert new_endpoint_key() != new_endpoint_key()


async def test_connecting_again_returns_the_first(stores: Stores) -> None:
    """The same request makes one account and one endpoint, also when asked twice at once."""
    request, organization = new_id(), new_id()
    asked = [
        stores.links.connect(
            organization_id=organization,
            request_id=request,
            vendor="tave",
            account=an_account(),
            endpoint_key=new_endpoint_key(),
        )
        for _ in range(3)
    ]
    kept = await asyncio.gather(*asked)
    assert len({integration.integration_id for integration in kept}) == 1
    rows = stores.sql("SELECT 1 FROM gateway.endpoint_keys WHERE organization_id = %s", organization)
    assert len(rows) == 1


async def test_accounts_are_listed_page_by_page(stores: Stores) -> None:
    """Pages hold the organization's own accounts in order, without gap or repeat."""
    organization = new_id()
    made = [(await new_tenant(stores, organization_id=organization)).link.integration_id for _ in range(3)]
    first = await stores.links.integrations(organization, after=None, limit=2)
    rest = await stores.links.integrations(organization, after=first[-1].integration_id, limit=2)
    assert [i.integration_id for i in (*first, *rest)] == sorted(made)


async def test_only_the_owner_finds_an_account_or_a_link(stores: Stores, tenant: Tenant) -> None:
    """Ids of another organization's account and link find nothing."""
    link, other = tenant.link, [new_id()]
    found = await stores.links.integration([link.organization_id], link.integration_id)
    assert found is not None
    assert found.vendor == "tave"
    assert await stores.links.integration(other, link.integration_id) is None
    assert await stores.links.find_link([link.organization_id], link.link_id) == link
    assert await stores.links.find_link(other, link.link_id) is None


async def test_linking_again_returns_the_first(stores: Stores, tenant: Tenant) -> None:
    """The same request makes one link; links are found by wedding and by account, oldest first."""
    organization, account = tenant.link.organization_id, tenant.link.integration_id
    request, wedding = new_id(), tenant.link.wedding_id
    made = [
        await stores.links.link(
            a_link(organization, account, wedding_id=wedding), request_id=request, trace_parent=TRACE
        )
        for _ in range(2)
    ]
    assert made[0] == made[1]
    assert await stores.links.links([organization], wedding_id=wedding) == [tenant.link, made[0]]
    assert await stores.links.links([organization], integration_id=account) == [tenant.link, made[0]]
    assert await stores.links.links([organization], wedding_id=new_id()) == []


async def test_a_link_needs_its_own_organizations_account(stores: Stores, tenant: Tenant) -> None:
    """A link cannot be made to an account of another organization, though its id is known."""
    thief = a_link(new_id(), tenant.link.integration_id, wedding_id=new_id())
    with pytest.raises(Exception, match="foreign key") as refused:
        await stores.links.link(thief, request_id=new_id(), trace_parent=TRACE)
    assert not isinstance(refused.value, WedSyncError)


async def test_a_link_is_polled_by_one(
    stores: Stores, tenant: Tenant, migrated_database: MigratedDatabase
) -> None:
    """A due link is claimed by one of many pollers, and again after a crash."""
    async with opened_stores(migrated_database) as other:
        asked = [replica.links.claim_polls(5) for _ in range(4) for replica in (stores, other)]
        claims = [due for share in await asyncio.gather(*asked) for due in share]
    assert [(due.link.link_id, due.cursor, due.failures) for due in claims] == [
        (tenant.link.link_id, None, 0)
    ]
    stores.leases_end()
    assert len(await stores.links.claim_polls(5)) == 1


async def test_the_cursor_is_kept_for_the_next_scan(stores: Stores, tenant: Tenant) -> None:
    """A scan's end is the next one's start, its time is known, and failures are forgotten."""
    await stores.links.claim_polls(5)
    await stores.links.poll_failed(tenant.link, seconds=0, cursor_lost=False)
    await stores.links.claim_polls(5)
    await stores.links.polled(tenant.link, cursor={"token": "7", "seen": ["é"]}, seconds=0)
    [due] = await stores.links.claim_polls(5)
    assert (due.cursor, due.failures) == ({"token": "7", "seen": ["é"]}, 0)
    assert due.link.scanned_at is not None
    await stores.links.polled(tenant.link, cursor={}, seconds=3600)
    assert await stores.links.claim_polls(5) == []
    await stores.links.poll_now(tenant.link)
    assert len(await stores.links.claim_polls(5)) == 1


async def test_a_failed_scan_keeps_the_cursor_unless_it_is_lost(stores: Stores, tenant: Tenant) -> None:
    """Failures are counted; only a lost cursor is dropped, and then the scan starts anew."""
    await stores.links.claim_polls(5)
    await stores.links.polled(tenant.link, cursor={"token": "7"}, seconds=0)
    seen = []
    for lost in (False, False, True):
        await stores.links.poll_failed(tenant.link, seconds=0, cursor_lost=lost)
        [due] = await stores.links.claim_polls(5)
        seen.append((due.cursor, due.failures))
    assert seen == [({"token": "7"}, 1), ({"token": "7"}, 2), (None, 3)]
    await stores.links.poll_failed(tenant.link, seconds=3600, cursor_lost=False)
    assert await stores.links.claim_polls(5) == []


async def test_a_paused_link_is_left_alone(stores: Stores, tenant: Tenant) -> None:
    """A paused link says why and is not polled; resumed, it is due at once."""
    await stores.links.set_state(tenant.link, active=False, reason="too many gone")
    assert await stores.links.claim_polls(5) == []
    paused = await stores.links.find_link([tenant.link.organization_id], tenant.link.link_id)
    assert paused is not None
    assert (paused.active, paused.reason) == (False, "too many gone")
    await stores.links.set_state(paused, active=True)
    [due] = await stores.links.claim_polls(5)
    assert (due.link.active, due.link.reason) == (True, "")


async def test_shadows_are_found_by_record_and_by_item(stores: Stores, tenant: Tenant) -> None:
    """A record leads to its item and back; what was never seen leads nowhere; gone is not present."""
    item = tenant.item_id
    await an_edit(stores, tenant, title="Vows")
    link, record = tenant.link, f"event/{item}"
    assert await stores.links.item_of(link, record) == item
    assert await stores.links.item_of(link, "event/none") is None
    found = await stores.links.record_of(link, item)
    assert found is not None
    assert found.record_id == record
    assert await stores.links.record_of(link, new_id()) is None
    assert list(await stores.links.shadows(link, [record, "event/none"])) == [record]
    assert await stores.links.present(link) == {record}
    stores.sql("UPDATE gateway.shadow_items SET gone = true WHERE item_id = %s", item)
    assert await stores.links.present(link) == frozenset()


async def test_scans_are_logged(stores: Stores, tenant: Tenant) -> None:
    """What a scan saw, or why it failed, is kept."""
    await stores.links.log_scan(tenant.link, started_at=SEEN_AT, records=3, looked_at=1)
    await stores.links.log_scan(tenant.link, started_at=SEEN_AT, records=0, looked_at=0, error="busy")
    rows = stores.sql(
        "SELECT records, looked_at, error FROM gateway.integration_sync_log"
        " WHERE link_id = %s ORDER BY error",
        tenant.link.link_id,
    )
    assert [tuple(row.values()) for row in rows] == [(3, 1, ""), (0, 0, "busy")]
