"""The gateway's rows: each organization sees its own, and sweepers see no content."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import text
from sqlalchemy.exc import ProgrammingError

from services.gateway.calls.oauth2 import Tokens
from services.gateway.calls.renewal import Step
from services.gateway.channels import Kept
from services.gateway.records import Intent, IntentKind, Link
from services.gateway.store.links import endpoint_hash
from services.gateway.store.tokens import Place
from services.gateway.vendors.port import Channel
from tests.support.catalog import tenant_tables
from tests.support.database import MigratedDatabase
from tests.support.gateway_store import (
    EVENT,
    SEEN_AT,
    TRACE,
    Stores,
    Tenant,
    a_commit,
    an_edit,
    an_item,
    new_tenant,
    opened_stores,
)
from wedsync.model.ids import new_id
from wedsync.runtime.database import Database

_TOKENS = Tokens(access_token="a", refresh_token="r", lifetime=60)


@dataclass(frozen=True)
class Neighbours:
    """Two organizations, each with a row in every table of the gateway."""

    stores: Stores
    ours: Tenant
    theirs: Tenant


async def _fill(stores: Stores) -> Tenant:
    tenant = await new_tenant(stores)
    await stores.inbound.accept([tenant.arrival(delivery_key="d1")])
    await an_edit(stores, tenant, title="Vows")
    await stores.deliveries.accept([a_commit(tenant.link.wedding_id, an_item(tenant.item_id, title="V"), 1)])
    await stores.polls.log(tenant.link, started_at=SEEN_AT, records=1, looked_at=1)
    link = tenant.link
    await stores.secrets.rotate(
        link.organization_id, link.integration_id, request_id=new_id(), secret="whsec", overlap=0
    )
    await stores.channels.keep(link, _a_channel(link))
    place = Place(organization_id=link.organization_id, integration_id=link.integration_id)
    await stores.tokens.decide(place, lambda: _TOKENS, lambda _: Step.USE)
    held = await stores.leases.take(tenant.key(), EVENT)
    assert held is not None
    await stores.leases.intend(held, Intent(intent_id=new_id(), kind=IntentKind.UPDATE, values={}))
    return tenant


def _a_channel(link: Link) -> Kept:
    channel = Channel(channel_id="watch", secret="s", ends_at=SEEN_AT)
    return Kept(id=new_id(), link_id=link.link_id, channel=channel, address="", created_at=SEEN_AT)


@pytest.fixture
async def neighbours(migrated_database: MigratedDatabase) -> AsyncIterator[Neighbours]:
    """Both organizations, and the stores."""
    async with opened_stores(migrated_database) as stores:
        yield Neighbours(stores, await _fill(stores), await _fill(stores))


def _scope(tenant: Tenant) -> dict[str, list[str]]:
    return {"organizations": [tenant.link.organization_id], "weddings": [tenant.link.wedding_id]}


def _column(table: str) -> str:
    return "wedding_id" if table == "gateway.canonical_items" else "organization_id"


async def _owners(database: Database, table: str, scope: dict[str, list[str]]) -> set[str]:
    async with database.transaction(**scope) as conn:
        found = await conn.execute(text(f"SELECT {_column(table)}::text FROM {table}"))
        return set(found.scalars())


def _tables(stores: Stores) -> list[str]:
    """Return the gateway's tenant tables, partitions left out."""
    found = tenant_tables(stores.admin_url, ["gateway"])
    return sorted(row["name"] for row in found if not row["partition"])


def _owner(tenant: Tenant, table: str) -> str:
    return tenant.link.wedding_id if _column(table) == "wedding_id" else tenant.link.organization_id


async def test_each_organization_sees_its_own_rows(neighbours: Neighbours) -> None:
    """In every table of the gateway a scope shows its members' rows only, and the empty scope shows none."""
    database, ours, theirs = neighbours.stores.database, neighbours.ours, neighbours.theirs
    both = {name: _scope(ours)[name] + _scope(theirs)[name] for name in ("organizations", "weddings")}
    for table in _tables(neighbours.stores):
        mine, other = _owner(ours, table), _owner(theirs, table)
        seen = [await _owners(database, table, scope) for scope in (_scope(ours), both, {})]
        assert seen == [{mine}, {mine, other}, set()], table


async def test_another_organizations_rows_cannot_be_written(neighbours: Neighbours) -> None:
    """Updating and deleting reach no row of another organization, and no row can be given to it."""
    database, ours, theirs = neighbours.stores.database, neighbours.ours, neighbours.theirs
    for table in _tables(neighbours.stores):
        column, other = _column(table), {"other": _owner(theirs, table)}
        theirs_only = f"WHERE {column}::text = :other"
        async with database.transaction(**_scope(ours)) as conn:
            deleted = await conn.execute(text(f"DELETE FROM {table} {theirs_only}"), other)
            updated = await conn.execute(text(f"UPDATE {table} SET {column} = {column} {theirs_only}"), other)
        assert (deleted.rowcount, updated.rowcount) == (0, 0), table
        with pytest.raises(ProgrammingError, match="row-level security"):
            await _execute(database, ours, _given_away(table), other)
        assert neighbours.stores.sql(f"SELECT 1 FROM {table} WHERE {column}::text = %s", *other.values()), (
            table
        )


def _given_away(table: str) -> str:
    column = _column(table)
    return f"UPDATE {table} SET {column} = CAST(:other AS {'uuid' if column == 'wedding_id' else 'text'})"


async def _execute(database: Database, tenant: Tenant, statement: str, values: dict[str, Any]) -> None:
    async with database.transaction(**_scope(tenant)) as conn:
        await conn.execute(text(statement), values)


async def test_a_row_cannot_be_inserted_for_another_organization(neighbours: Neighbours) -> None:
    """A transaction scoped to one organization cannot make an endpoint for another."""
    theirs = neighbours.theirs.link
    statement = (
        "INSERT INTO gateway.endpoint_keys (hash, organization_id, integration_id, vendor)"
        " VALUES (:hash, :organization, :integration, 'tave')"
    )
    values = {
        "hash": endpoint_hash(new_id()),
        "organization": theirs.organization_id,
        "integration": theirs.integration_id,
    }
    with pytest.raises(ProgrammingError, match="row-level security"):
        await _execute(neighbours.stores.database, neighbours.ours, statement, values)


async def test_a_scope_ends_with_its_transaction(
    migrated_database: MigratedDatabase, neighbours: Neighbours
) -> None:
    """The next transaction on the same pooled connection sees nothing of the scope before it."""
    pool = Database(migrated_database.app_url("gateway"), 1)
    try:
        seen = []
        for scope in (_scope(neighbours.ours), {}, _scope(neighbours.theirs)):
            async with pool.transaction(**scope) as conn:
                query = "SELECT pg_backend_pid() AS pid, array_agg(DISTINCT organization_id) AS who"
                seen.append((await conn.execute(text(f"{query} FROM gateway.webhook_log"))).one())
        async with pool.engine.connect() as conn:
            bare = await conn.execute(text("SELECT pg_backend_pid(), count(*) FROM gateway.webhook_log"))
            assert bare.one() == (seen[0].pid, 0)
    finally:
        await pool.dispose()
    assert len({row.pid for row in seen}) == 1
    ours, theirs = neighbours.ours.link.organization_id, neighbours.theirs.link.organization_id
    assert [row.who for row in seen] == [[ours], None, [theirs]]


@pytest.mark.parametrize(
    ("table", "column"),
    [
        ("vendor_integrations", "credentials"),
        ("endpoint_keys", "hash"),
        ("webhook_log", "body"),
        ("webhook_log", "delivery_key"),
        ("shadow_items", "fields"),
        ("delivery_intents", "fields"),
        ("canonical_items", "state"),
        ("vendor_activities", "change"),
        ("vendor_activities", "result"),
        ("push_channels", "channel"),
        ("wedding_vendor_integrations", "cursor"),
        ("wedding_vendor_integrations", "scope"),
        ("vendor_deliveries", "reason"),
    ],
)
def test_the_sweeper_cannot_read_content(
    migrated_database: MigratedDatabase, table: str, column: str
) -> None:
    """The worker role is refused bodies, values, credentials and cursors, even by name."""
    query = sql.SQL("SELECT {} FROM gateway.{}").format(sql.Identifier(column), sql.Identifier(table))
    with (
        psycopg.connect(migrated_database.worker_url("gateway")) as worker,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        worker.execute(query)


def test_the_sweeper_sees_what_is_due_of_everybody(
    migrated_database: MigratedDatabase, neighbours: Neighbours
) -> None:
    """The worker role finds due work of all organizations, and can change nothing but its claims."""
    with psycopg.connect(migrated_database.worker_url("gateway"), autocommit=True) as worker:
        found = worker.execute("SELECT DISTINCT organization_id FROM gateway.webhook_log").fetchall()
        both = {neighbours.ours.link.organization_id, neighbours.theirs.link.organization_id}
        assert both <= {row[0] for row in found}
        for statement in (
            "UPDATE gateway.webhook_log SET state = 'processed'",
            "UPDATE gateway.wedding_vendor_integrations SET state = 'paused'",
            "DELETE FROM gateway.vendor_deliveries",
            f"INSERT INTO gateway.vendor_activities (id, trace_parent) VALUES (gen_random_uuid(), '{TRACE}')",
            "SELECT gateway.resolve_endpoint('x')",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                worker.execute(statement.encode())
