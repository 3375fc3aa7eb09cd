"""Accounts and links on a real PostgreSQL: sealed, idempotent, polled by one."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from typing import Any

import pytest

from services.gateway.store.links import endpoint_hash, new_endpoint_key
from services.gateway.vendors.port import Account
from tests.support.gateway_store import (
    PASSWORD,
    TRACE,
    Stores,
    Tenant,
    a_link,
    an_edit,
    new_tenant,
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


async def test_an_accounts_links_are_found_by_their_scope(stores: Stores, tenant: Tenant) -> None:
    """An event that says where it happened leads to the links of that place and account, and no other."""
    organization, account = tenant.link.organization_id, tenant.link.integration_id
    elsewhere = replace(
        a_link(organization, account, wedding_id=new_id()), scope={"job_id": "another", "more": "x"}
    )
    other = await stores.links.link(elsewhere, request_id=new_id(), trace_parent=TRACE)
    here = ("job_id", tenant.link.scope["job_id"])
    asked: list[tuple[str, str, tuple[str, str] | None]] = [
        (organization, account, here),
        (organization, account, ("job_id", "another")),
        (organization, account, None),
        (organization, account, ("job_id", "none")),
        (organization, account, ("no_such_key", "another")),
        (new_id(), account, here),
        (organization, account, here),
    ]
    found = await asyncio.gather(*(stores.links.links_of(*each) for each in asked))
    mine = [tenant.link]
    assert found == [mine, [other], [*mine, other], [], [], [], mine]
