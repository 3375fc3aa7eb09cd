"""Row level security of all four schemas, read from the catalog; who may reach what at all."""

from __future__ import annotations

import pytest

from tests.support.catalog import tenant_tables
from tests.support.database import MigratedDatabase
from tests.support.gateway_store import run_sql
from wedsync.runtime.roles import OWNER, ROLES, SERVICES

_SERVICE_ROLES = [role for role in ROLES if role != OWNER]


@pytest.fixture(scope="module")
def admin(migrated_database: MigratedDatabase) -> str:
    """The superuser's URL."""
    return migrated_database.admin_url


def unprotected(admin: str) -> set[str]:
    """Return the tenant tables whose row level security is not complete."""
    found = tenant_tables(admin, SERVICES)
    assert {row["name"].partition(".")[0] for row in found} == set(SERVICES)
    return {r["name"] for r in found if not (r["enabled"] and r["forced"] and r["policies"])}


def test_every_tenant_table_is_protected(admin: str) -> None:
    """Every table with an organization or a wedding in it has row level security, forced, with a policy."""
    assert unprotected(admin) == set()


_FORGOTTEN = {
    "nothing": "CREATE TABLE gateway.bare (organization_id text)",
    "not forced": """
        CREATE TABLE sync.bare (wedding_id uuid);
        ALTER TABLE sync.bare ENABLE ROW LEVEL SECURITY;
        CREATE POLICY p ON sync.bare USING (false)""",
    "no policy": """
        CREATE TABLE health.bare (organization_id text);
        ALTER TABLE health.bare ENABLE ROW LEVEL SECURITY;
        ALTER TABLE health.bare FORCE ROW LEVEL SECURITY""",
    "partition": """
        CREATE TABLE gateway.bare PARTITION OF gateway.webhook_log
        FOR VALUES FROM ('2001-01-01') TO ('2001-01-02')""",
}


@pytest.mark.parametrize("forgotten", _FORGOTTEN.values(), ids=_FORGOTTEN)
def test_the_scan_finds_what_was_forgotten(admin: str, forgotten: str) -> None:
    """A table without, one whose owner is exempt, one without a policy, and a bare partition are found."""
    run_sql(admin, forgotten)
    try:
        assert [name.partition(".")[2] for name in unprotected(admin)] == ["bare"]
    finally:
        run_sql(admin, "DROP TABLE IF EXISTS gateway.bare, sync.bare, health.bare")


def test_no_policy_of_an_app_role_forgets_the_scope(admin: str) -> None:
    """Whatever lets an app role reach a tenant table tests membership in the transaction's scope."""
    found = run_sql(
        admin,
        "SELECT schemaname || '.' || tablename AS name, policyname, roles,"
        " coalesce(qual, '') || coalesce(with_check, '') AS condition"
        " FROM pg_policies WHERE schemaname = ANY(%s)",
        list(SERVICES),
    )
    tenants = {row["name"] for row in tenant_tables(admin, SERVICES)}
    apps = {f"wedsync_{service}" for service in SERVICES} | {"public"}
    loose = [
        row["policyname"]
        for row in found
        if row["name"] in tenants and apps & set(row["roles"]) and "'app." not in row["condition"]
    ]
    assert loose == []


def test_no_service_role_is_privileged(admin: str) -> None:
    """App and worker roles are no superusers, bypass no policy, and cannot make roles or databases."""
    found = run_sql(
        admin,
        "SELECT rolname, rolsuper, rolbypassrls, rolcreaterole, rolcreatedb, rolreplication"
        " FROM pg_roles WHERE rolname = ANY(%s)",
        list(ROLES),
    )
    assert {row.pop("rolname") for row in found} == set(ROLES)
    assert not any(value for row in found for value in row.values())


def test_no_service_role_owns_or_becomes_another(admin: str) -> None:
    """App and worker roles own nothing in any database and are members of no other role."""
    owned = run_sql(
        admin,
        "SELECT pg_describe_object(classid, objid, objsubid) AS what FROM pg_shdepend"
        " WHERE deptype = 'o' AND refobjid = ANY(SELECT oid FROM pg_roles WHERE rolname = ANY(%s))",
        _SERVICE_ROLES,
    )
    member = run_sql(
        admin,
        "SELECT member::regrole::text FROM pg_auth_members WHERE member = ANY(%s::text[]::regrole[])",
        _SERVICE_ROLES,
    )
    assert (owned, member) == ([], [])


def test_no_role_reaches_another_services_schema(admin: str) -> None:
    """A service's roles have no privilege on any table of another service, nor on any partition."""
    found = run_sql(
        admin,
        "SELECT r.rolname, c.oid::regclass::text AS name, c.relispartition AS partition"
        " FROM pg_class c CROSS JOIN pg_roles r"
        " WHERE c.relkind IN ('r', 'p', 'v', 'm') AND c.relnamespace = ANY(%s::text[]::regnamespace[])"
        " AND r.rolname = ANY(%s)"
        " AND (has_table_privilege(r.oid, c.oid, 'SELECT, INSERT, UPDATE, DELETE, TRUNCATE')"
        "      OR has_any_column_privilege(r.oid, c.oid, 'SELECT, INSERT, UPDATE'))",
        list(SERVICES),
        _SERVICE_ROLES,
    )
    foreign = [
        (row["rolname"], row["name"])
        for row in found
        if row["partition"] or row["rolname"].split("_")[1] != row["name"].partition(".")[0]
    ]
    assert found
    assert foreign == []


def test_what_runs_as_the_owner_is_closed(admin: str) -> None:
    """No view shows its owner's rows; a function with its owner's rights pins its path and is not public."""
    views = run_sql(
        admin,
        "SELECT relname FROM pg_class WHERE relnamespace = ANY(%s::text[]::regnamespace[])"
        " AND (relkind = 'm' OR relkind = 'v'"
        "      AND NOT coalesce('security_invoker=true' = ANY(reloptions), false))",
        list(SERVICES),
    )
    functions = run_sql(
        admin,
        "SELECT proname FROM pg_proc WHERE prosecdef AND pronamespace = ANY(%s::text[]::regnamespace[])"
        " AND (has_function_privilege('public', oid, 'EXECUTE') OR NOT EXISTS"
        "      (SELECT 1 FROM unnest(proconfig) setting WHERE setting LIKE 'search_path=%%'))",
        list(SERVICES),
    )
    assert (views, functions) == ([], [])
