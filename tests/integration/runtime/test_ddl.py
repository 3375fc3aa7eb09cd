"""Row level security and partitions as the DDL helpers make them, tried with the roles they are for."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

import psycopg
import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.pool import NullPool

from tests.integration.runtime.conftest import Roles
from wedsync.runtime import ddl
from wedsync.runtime.database import Database, sqlalchemy_url

_TABLES = (
    "CREATE TABLE gateway.t_links (organization_id text, id int, due_at timestamptz, secret text,"
    " PRIMARY KEY (organization_id, id)) PARTITION BY HASH (organization_id);\n"
    + ddl.hash_partitions("gateway.t_links", 4)
    + ddl.tenant_policy("gateway.t_links", "organization_id", ddl.ORGANIZATIONS)
    + ddl.app_access("gateway.t_links")
    + ddl.worker_access("gateway.t_links", ("organization_id", "id", "due_at"), ("due_at",), delete=True)
    + "CREATE TABLE sync.t_items (wedding_id uuid, id int);\n"
    + ddl.tenant_policy("sync.t_items", "wedding_id", ddl.WEDDINGS)
    + ddl.app_access("sync.t_items", ("SELECT", "INSERT"))
    + ddl.worker_access("sync.t_items", ("wedding_id",))
    + "CREATE TABLE sync.t_owners (id int);\n"
    + ddl.app_access("sync.t_owners", ("SELECT", "INSERT", "UPDATE"), shared=True)
    + "CREATE TABLE gateway.t_log (at timestamptz, line text) PARTITION BY RANGE (at);\n"
    + ddl.default_partition("gateway.t_log")
    + ddl.week_partition("gateway.t_log", date(2027, 6, 1))
    + ddl.app_access("gateway.t_log", ("SELECT", "INSERT"), shared=True)
)
_WEDDING = "0191a000-0000-7000-8000-000000000001"


@pytest.fixture
def tables(roles: Roles) -> Iterator[Roles]:
    """A tenant table of each scope, a table of no tenant, and one partitioned by week."""
    engine = create_engine(sqlalchemy_url(roles.admin_url), poolclass=NullPool)
    with engine.begin() as admin:
        admin.execute(text("SET LOCAL ROLE wedsync_owner"))
        admin.execute(text(_TABLES))
    with psycopg.connect(roles.admin_url) as admin2:
        admin2.execute(
            "INSERT INTO gateway.t_links VALUES ('org-a', 1, now(), 's'), ('org-b', 2, now(), 's')"
        )
        admin2.execute("INSERT INTO sync.t_items VALUES (%s, 1)", [_WEDDING])
    yield roles
    with psycopg.connect(roles.admin_url) as admin3:
        admin3.execute("DROP TABLE gateway.t_links, sync.t_items, sync.t_owners, gateway.t_log")


async def test_a_transaction_sees_exactly_its_organizations(tables: Roles) -> None:
    """The scope is a set: one, both or none of the organizations' rows are there."""
    database = Database(tables.url("wedsync_gateway"), 1)
    seen = []
    for scope in (["org-a"], ["org-a", "org-b"], [], ["org-a"]):
        async with database.transaction(organizations=scope, weddings=["org-b"]) as connection:
            rows = await connection.execute(text("SELECT organization_id FROM t_links ORDER BY 1"))
            seen.append(list(rows.scalars()))
    await database.dispose()
    assert seen == [["org-a"], ["org-a", "org-b"], [], ["org-a"]]


async def test_the_wedding_scope_works_on_uuid_columns(tables: Roles) -> None:
    """A wedding's rows are there in its own scope and not in an organization's."""
    database = Database(tables.url("wedsync_sync"), 1)
    async with database.transaction(weddings=[_WEDDING]) as connection:
        assert (await connection.execute(text("SELECT count(*) FROM t_items"))).scalar() == 1
    async with database.transaction(organizations=[_WEDDING]) as connection:
        assert (await connection.execute(text("SELECT count(*) FROM t_items"))).scalar() == 0
    await database.dispose()


def test_a_foreign_row_can_neither_be_written_changed_nor_deleted(tables: Roles) -> None:
    """Inside organization a's scope nothing can be done to organization b's rows."""
    with psycopg.connect(tables.url("wedsync_gateway")) as app:
        app.execute("SELECT set_config('app.organizations', 'org-a', false)")
        app.commit()
        for statement in (
            "INSERT INTO t_links VALUES ('org-b', 9, now(), 's')",
            "UPDATE t_links SET organization_id = 'org-b'",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                app.execute(statement)
            app.rollback()
        assert app.execute("UPDATE t_links SET secret = 'x' WHERE id = 2").rowcount == 0
        assert app.execute("DELETE FROM t_links").rowcount == 1


def test_without_a_scope_even_the_owner_sees_nothing(tables: Roles) -> None:
    """Row level security is forced: on a connection that never set a scope no row is there."""
    for role in ("wedsync_gateway", "wedsync_owner"):
        with psycopg.connect(tables.url(role)) as connection:
            assert connection.execute("SELECT count(*) FROM gateway.t_links").fetchone() == (0,)


def test_a_partition_reached_directly_shows_nothing(tables: Roles) -> None:
    """Only the parent is granted, and a child that somebody grants by mistake has no policy."""
    with psycopg.connect(tables.admin_url, autocommit=True) as admin:
        admin.execute("GRANT SELECT ON gateway.t_links_p00, gateway.t_links_p01 TO wedsync_gateway")
    with psycopg.connect(tables.url("wedsync_gateway"), autocommit=True) as app:
        app.execute("SELECT set_config('app.organizations', 'org-a,org-b', false)")
        assert app.execute("SELECT count(*) FROM t_links_p00").fetchone() == (0,)
        assert app.execute("SELECT count(*) FROM t_links_p01").fetchone() == (0,)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            app.execute("SELECT * FROM t_links_p02")


def test_a_worker_sees_routing_columns_of_every_tenant_and_no_others(tables: Roles) -> None:
    """A sweeper finds, marks and deletes due rows of all tenants but cannot read what they hold."""
    with psycopg.connect(tables.url("wedsync_gateway_worker"), autocommit=True) as worker:
        rows = worker.execute("SELECT organization_id, id FROM t_links ORDER BY 1").fetchall()
        assert rows == [("org-a", 1), ("org-b", 2)]
        assert worker.execute("UPDATE t_links SET due_at = now() WHERE id = 2").rowcount == 1
        for statement in ("SELECT secret FROM t_links", "UPDATE t_links SET secret = 'x'"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                worker.execute(statement)
        assert worker.execute("DELETE FROM t_links WHERE id = 2").rowcount == 1


def test_a_worker_that_only_reads_cannot_write(tables: Roles) -> None:
    """Without update columns the worker may not change anything."""
    with psycopg.connect(tables.url("wedsync_sync_worker"), autocommit=True) as worker:
        assert len(worker.execute("SELECT wedding_id FROM t_items").fetchall()) == 1
        for statement in ("UPDATE t_items SET wedding_id = wedding_id", "DELETE FROM t_items"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                worker.execute(statement)


def test_a_table_of_no_tenant_is_open_to_its_service_for_what_was_granted(tables: Roles) -> None:
    """A shared table takes the granted commands whatever the scope, and no others."""
    with psycopg.connect(tables.url("wedsync_sync"), autocommit=True) as app:
        app.execute("INSERT INTO t_owners VALUES (1)")
        assert app.execute("UPDATE t_owners SET id = 2").rowcount == 1
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            app.execute("DELETE FROM t_owners")


def test_rows_land_in_the_week_they_are_of(tables: Roles) -> None:
    """By UTC, wherever the writer is; what nobody prepared for is kept too."""
    with psycopg.connect(tables.url("wedsync_gateway"), autocommit=True) as app:
        app.execute("SET timezone = 'Pacific/Auckland'")
        app.execute(
            "INSERT INTO t_log VALUES ('2027-06-07T23:59:59Z', 'a'), ('2027-06-08T00:00:00Z', 'b'),"
            " ('2030-01-01T00:00:00Z', 'nobody prepared for this')"
        )
        assert len(app.execute("SELECT line FROM t_log").fetchall()) == 3
    with psycopg.connect(tables.admin_url) as admin:
        assert admin.execute("SELECT line FROM gateway.t_log_20270601").fetchall() == [("a",)]
