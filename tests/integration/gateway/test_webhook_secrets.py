"""Webhook secrets on a real PostgreSQL: sealed, several valid while one is changed."""

from __future__ import annotations

import asyncio

import pytest

from services.gateway.store.link_rows import InScope
from services.gateway.store.links import endpoint_hash, new_endpoint_key
from services.gateway.store.secrets import MAX_VALID
from services.gateway.vendors.port import Account
from tests.support.gateway_store import Stores, Tenant, new_tenant
from wedsync.errors import FailedPrecondition
from wedsync.model.ids import new_id

DAY = 24 * 3600


async def rotated(
    stores: Stores, tenant: Tenant, secret: str, *, overlap: int = DAY, request_id: str = ""
) -> int:
    """Keep another secret."""
    return await stores.secrets.rotate(
        tenant.link.organization_id,
        tenant.link.integration_id,
        request_id=request_id or new_id(),
        secret=secret,
        overlap=overlap,
    )


async def valid(stores: Stores, tenant: Tenant) -> list[str]:
    """Return the secrets that are valid."""
    door = await stores.secrets.door(endpoint_hash(tenant.endpoint_key))
    assert door is not None
    return list(door.secrets)


async def test_an_endpoint_key_leads_to_its_tenant(stores: Stores, tenant: Tenant) -> None:
    """The hash of a key names organization, integration and vendor; an unknown key names nobody."""
    door = await stores.secrets.door(endpoint_hash(tenant.endpoint_key))
    assert door is not None
    found = door.endpoint
    assert (found.organization_id, found.integration_id, found.vendor) == (
        tenant.link.organization_id,
        tenant.link.integration_id,
        "tave",
    )
    assert await stores.secrets.door(endpoint_hash(new_endpoint_key())) is None


async def test_a_door_shows_the_links_that_are_asked_for(stores: Stores, tenant: Tenant) -> None:
    """Of its own account only, and of one scope where one is named; who asks for none sees none."""
    other = await new_tenant(stores)
    theirs, ours = endpoint_hash(other.endpoint_key), endpoint_hash(tenant.endpoint_key)
    [(key, value)] = tenant.link.scope.items()
    doors = await asyncio.gather(
        stores.secrets.door(ours, InScope()),
        stores.secrets.door(ours, InScope(key, value)),
        stores.secrets.door(ours, InScope(key, "another")),
        stores.secrets.door(ours),
        stores.secrets.door(theirs, InScope()),
    )
    seen = [[link.link_id for link in door.links] if door else None for door in doors]
    assert seen == [[tenant.link.link_id], [tenant.link.link_id], [], [], [other.link.link_id]]


async def test_the_secrets_before_stay_valid_for_the_overlap(stores: Stores, tenant: Tenant) -> None:
    """A new secret leaves the old ones valid for a while, and ends them at once where so asked."""
    assert await valid(stores, tenant) == []
    assert await rotated(stores, tenant, "one") == 1
    assert await rotated(stores, tenant, "two") == 2
    assert await valid(stores, tenant) == ["two", "one"]
    assert await rotated(stores, tenant, "three", overlap=0) == 1
    assert await valid(stores, tenant) == ["three"]


async def test_a_repeated_request_changes_nothing(stores: Stores, tenant: Tenant) -> None:
    """The same request id again neither adds a secret nor shortens another's time."""
    request_id = new_id()
    await rotated(stores, tenant, "one")
    assert await rotated(stores, tenant, "two", request_id=request_id) == 2
    assert await rotated(stores, tenant, "other", overlap=0, request_id=request_id) == 2
    assert await valid(stores, tenant) == ["two", "one"]


async def test_an_earlier_end_is_not_put_off(stores: Stores, tenant: Tenant) -> None:
    """A secret that was about to end is not kept alive by the next rotation."""
    await rotated(stores, tenant, "one")
    await rotated(stores, tenant, "two", overlap=60)
    await rotated(stores, tenant, "three")
    [first] = stores.sql(
        "SELECT valid_until < clock_timestamp() + interval '2 minutes' AS soon FROM gateway.webhook_secrets"
        " WHERE integration_id = %s ORDER BY created_at LIMIT 1",
        tenant.link.integration_id,
    )
    assert first["soon"]


async def test_too_many_at_once_are_refused(stores: Stores, tenant: Tenant) -> None:
    """Each valid secret is tried with every webhook, so there is a bound; the refused one is not kept."""
    for number in range(MAX_VALID):
        await rotated(stores, tenant, str(number))
    with pytest.raises(FailedPrecondition, match="overlap of 0"):
        await rotated(stores, tenant, "one too many")
    assert "one too many" not in await valid(stores, tenant)


async def test_a_secret_is_its_owners(stores: Stores, tenant: Tenant) -> None:
    """Behind another's address there is none of it, though both are asked for at once; it is kept sealed."""
    await rotated(stores, tenant, "whsec_plain")
    other = await new_tenant(stores)
    both = await asyncio.gather(valid(stores, other), valid(stores, tenant))
    assert list(both) == [[], ["whsec_plain"]]
    [row] = stores.sql(
        "SELECT secret FROM gateway.webhook_secrets WHERE integration_id = %s", tenant.link.integration_id
    )
    assert b"whsec_plain" not in bytes(row["secret"])


async def test_a_secret_given_when_connecting_is_no_credential(stores: Stores) -> None:
    """It signs webhooks from the start, and no adapter is ever given it."""
    organization, integration_id = f"org-{new_id()}", new_id()
    account = Account(
        integration_id=integration_id,
        base_url="https://vendor.test",
        credentials={"api_key": "k", "webhook_secret": "whsec_first"},
    )
    request, key = new_id(), new_endpoint_key()
    for _ in range(2):
        integration = await stores.links.connect(
            organization_id=organization,
            request_id=request,
            vendor="stripe",
            account=account,
            endpoint_key=key,
        )
    door = await stores.secrets.door(endpoint_hash(key))
    assert door is not None
    assert door.secrets == ["whsec_first"]
    assert stores.links.account(integration).credentials == {"api_key": "k"}


async def test_another_tenant_has_other_secrets(stores: Stores, tenant: Tenant) -> None:
    """What one organization rotates is nothing to another's integration."""
    other = await new_tenant(stores)
    await rotated(stores, other, "theirs")
    assert await valid(stores, tenant) == []


async def test_the_first_secret_handed_over_is_kept_and_no_other(stores: Stores, tenant: Tenant) -> None:
    """Of several that arrive at once one is taken; the same one again is fine, and any other is refused."""

    async def adopted(secret: str) -> bool:
        link = tenant.link
        return await stores.secrets.adopt(link.organization_id, link.integration_id, secret=secret)

    taken = await asyncio.gather(*(adopted(f"secret {number}") for number in range(4)))
    assert sorted(taken) == [False, False, False, True]
    [kept] = await valid(stores, tenant)
    assert kept == f"secret {taken.index(True)}"
    assert await adopted(kept)
    assert not await adopted("another")
