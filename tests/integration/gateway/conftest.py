"""The gateway's stores on a database of the module's own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from tests.support.database import MigratedDatabase, copy_of_template
from tests.support.external_servers import POSTGRES_BINS, REDIS_SERVER
from tests.support.fake_sync import FakeSync, running_sync
from tests.support.gateway_process import (
    ORGANIZATION,
    Gateway,
    Secrets,
    Studio,
    built_gateway,
    make_secrets,
    open_studio,
)
from tests.support.gateway_store import Stores, Tenant, new_tenant, opened_stores

# A server that is not installed is not tested, and nothing claims that it was.
collect_ignore = [
    *([] if POSTGRES_BINS else ["test_external_postgres.py"]),
    *([] if REDIS_SERVER else ["test_external_redis.py"]),
]


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


@pytest.fixture(scope="module")
def secrets(tmp_path_factory: pytest.TempPathFactory) -> Secrets:
    """Keys for every kind of caller."""
    return make_secrets(tmp_path_factory.mktemp("secrets"))


@pytest.fixture
def database(database_template: MigratedDatabase, postgres_admin_url: str) -> Iterator[MigratedDatabase]:
    """A database of the test's own: a gateway works on whatever it finds in one."""
    with copy_of_template(database_template, postgres_admin_url) as copy:
        yield copy


@pytest.fixture
async def sync(secrets: Secrets) -> AsyncIterator[FakeSync]:
    """The sync service, scripted."""
    async with running_sync(secrets.api_keys) as running:
        yield running


@pytest.fixture
async def gateway(database: MigratedDatabase, secrets: Secrets, sync: FakeSync) -> AsyncIterator[Gateway]:
    """A whole gateway within the test's own process."""
    async with built_gateway(database, secrets, sync) as built:
        yield built


@pytest.fixture
async def studio() -> AsyncIterator[Studio]:
    """A Tave studio with one job."""
    async with open_studio() as opened:
        yield opened


@pytest.fixture
def wedding_id(sync: FakeSync) -> str:
    """A wedding the studio works for."""
    return sync.add_wedding(ORGANIZATION)


@pytest.fixture
async def slow(database: MigratedDatabase, secrets: Secrets, sync: FakeSync) -> AsyncIterator[Gateway]:
    """A gateway that polls once only: what it learns later, it learns by webhook."""
    async with built_gateway(database, secrets, sync, vendor_poll_seconds=3600) as built:
        yield built
