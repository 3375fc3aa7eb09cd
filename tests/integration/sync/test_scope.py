"""Who sees what in the schema `sync`."""

from __future__ import annotations

import psycopg
import pytest
from psycopg import errors

from tests.contract.sync_store_contract import commit_of
from tests.contract.test_sync_store import PostgresBench
from tests.support.database import MigratedDatabase
from tests.unit.sync.builders import a_wedding, create
from wedsync.model.ids import new_id

TENANT_TABLES = ("weddings", "wedding_members", "items", "changes", "change_keys", "outbox")


@pytest.fixture
def filled(migrated_database: MigratedDatabase) -> MigratedDatabase:
    """A database with a row in every tenant table."""
    bench = PostgresBench(migrated_database)
    wedding, owner = a_wedding(), new_id()
    bench.add(wedding)
    bench.store.renew(owner, 5.0)
    bench.store.commit([commit_of(bench.store.activate(wedding.wedding_id, owner), [create()], bench.store)])
    bench.close()
    return migrated_database


def test_without_a_scope_the_service_sees_nothing(filled: MigratedDatabase) -> None:
    """Every table of a wedding is empty to the app role until a scope names the wedding."""
    with psycopg.connect(filled.app_url("sync")) as app, psycopg.connect(filled.admin_url) as admin:
        for table in TENANT_TABLES:
            query = f"SELECT count(*) FROM sync.{table}"
            assert admin.execute(query).fetchone() != (0,)
            assert app.execute(query).fetchone() == (0,)


def test_a_member_finds_its_weddings_by_its_organization_alone(filled: MigratedDatabase) -> None:
    """With an organization in scope its memberships are seen, and nothing of the weddings themselves."""
    with psycopg.connect(filled.app_url("sync")) as app:
        app.execute("SELECT set_config('app.organizations', 'studio', true)")
        assert app.execute("SELECT count(*) > 0 FROM sync.wedding_members").fetchone() == (True,)
        assert app.execute("SELECT count(*) FROM sync.weddings").fetchone() == (0,)
        app.execute("SELECT set_config('app.organizations', 'florist', true)")
        assert app.execute("SELECT count(*) FROM sync.wedding_members").fetchone() == (0,)


def test_the_sweep_sees_routes_and_no_contents(filled: MigratedDatabase) -> None:
    """The worker role finds what is due for any wedding, and may read neither bodies nor other tables."""
    with psycopg.connect(filled.worker_url("sync"), autocommit=True) as worker:
        assert worker.execute("SELECT count(*) > 0 FROM (SELECT fact_id FROM sync.outbox) x").fetchone() == (
            True,
        )
        for query in ("SELECT body FROM sync.outbox", "SELECT state FROM sync.items"):
            with pytest.raises(errors.InsufficientPrivilege):
                worker.execute(query)
