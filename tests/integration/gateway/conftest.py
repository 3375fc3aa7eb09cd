"""The gateway's stores on a database of the module's own."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.support.database import MigratedDatabase
from tests.support.gateway_store import Stores, Tenant, new_tenant, opened_stores


@pytest.fixture
async def stores(migrated_database: MigratedDatabase) -> AsyncIterator[Stores]:
    """The stores of one replica; whatever earlier tests left waiting is out of the way."""
    async with opened_stores(migrated_database) as opened:
        for table in ("webhook_log", "vendor_activities", "vendor_deliveries"):
            opened.sql(f"UPDATE gateway.{table} SET state = 'of an earlier test'")
        opened.sql("UPDATE gateway.wedding_vendor_integrations SET state = 'of an earlier test'")
        yield opened


@pytest.fixture
async def tenant(stores: Stores) -> Tenant:
    """A fresh organization with an account linked to a wedding."""
    return await new_tenant(stores)
