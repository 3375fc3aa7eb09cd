"""Roles, schemas and migrations on a real PostgreSQL."""

from __future__ import annotations

import secrets
import threading
from pathlib import Path

import psycopg
import pytest

from tests.integration.runtime.conftest import Roles, database, login
from wedsync.errors import Unavailable
from wedsync.runtime import migrations
from wedsync.runtime.migrations import bootstrap_roles, upgrade
from wedsync.runtime.roles import OWNER, ROLES

_ENV = "from wedsync.runtime.migrations import run_env\n\nrun_env()\n"

_FIRST = """
from alembic import op
revision, down_revision = "0001", None

def upgrade() -> None:
    op.execute("CREATE TABLE first_table (id integer PRIMARY KEY)")
"""

_SECOND = """
from alembic import op
revision, down_revision = "0002", "0001"

def upgrade() -> None:
    op.execute("CREATE TABLE second_table (id integer PRIMARY KEY)")
    {more}
"""


@pytest.fixture
def scripts(tmp_path: Path) -> Path:
    """A service's migrations folder; its path has a per cent sign in it."""
    location = tmp_path / "100%" / "migrations"
    (location / "versions").mkdir(parents=True)
    (location / "env.py").write_text(_ENV)
    (location / "versions" / "0001_first.py").write_text(_FIRST)
    return location


@pytest.fixture
def clean(roles: Roles) -> Roles:
    """No tables in the schema these tests migrate."""
    with psycopg.connect(roles.admin_url, autocommit=True) as admin:
        for table in ("first_table", "second_table", "alembic_version"):
            admin.execute(f"DROP TABLE IF EXISTS conflicts.{table}")
    return roles


def _tables(roles: Roles) -> dict[str, str]:
    with psycopg.connect(roles.admin_url) as admin:
        rows = admin.execute("SELECT tablename, tableowner FROM pg_tables WHERE schemaname = 'conflicts'")
        return {str(name): str(owner) for name, owner in rows}


def test_a_missing_database_is_created_with_a_schema_per_service_owned_by_the_owner(roles: Roles) -> None:
    """Bootstrapping makes the database, and the four schemas belong to wedsync_owner."""
    with psycopg.connect(roles.admin_url) as admin:
        rows = admin.execute(
            "SELECT nspname, nspowner::regrole::text FROM pg_namespace"
            " WHERE nspname IN ('gateway', 'sync', 'conflicts', 'health')"
        ).fetchall()
    assert sorted(rows) == [(name, OWNER) for name in ("conflicts", "gateway", "health", "sync")]


def test_no_role_is_privileged_and_passwords_are_kept_as_scram(roles: Roles) -> None:
    """Every role logs in, none is a superuser or bypasses row level security, all passwords are SCRAM."""
    with psycopg.connect(roles.admin_url) as admin:
        rows = admin.execute(
            "SELECT rolname, rolcanlogin, rolsuper OR rolbypassrls OR rolcreaterole OR rolcreatedb,"
            " rolpassword LIKE 'SCRAM-SHA-256$%%' FROM pg_authid WHERE rolname = ANY(%s)",
            [list(ROLES)],
        ).fetchall()
    assert sorted(rows) == [(role, True, False, True) for role in sorted(ROLES)]


def test_bootstrapping_again_changes_passwords_only(roles: Roles) -> None:
    """A second run with a new password for one role leaves everything else and the old password useless."""
    fresh = secrets.token_urlsafe(12)
    bootstrap_roles(roles.admin_url, {"wedsync_health": fresh})
    psycopg.connect(login(roles.admin_url, "wedsync_health", fresh)).close()
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(roles.url("wedsync_health"))
    bootstrap_roles(roles.admin_url, roles.passwords)
    psycopg.connect(roles.url("wedsync_health")).close()


def test_a_role_without_a_password_cannot_log_in(own_admin_url: str, roles: Roles) -> None:
    """Roles that no password is given for are created without the right to log in."""
    with psycopg.connect(own_admin_url, autocommit=True) as admin:
        admin.execute("DROP OWNED BY wedsync_sync_worker; DROP ROLE wedsync_sync_worker")
    bootstrap_roles(own_admin_url, {})
    with psycopg.connect(own_admin_url) as admin:
        row = admin.execute(
            "SELECT rolcanlogin FROM pg_roles WHERE rolname = 'wedsync_sync_worker'"
        ).fetchone()
    assert row == (False,)
    bootstrap_roles(own_admin_url, roles.passwords)


def test_an_app_role_can_neither_create_tables_nor_enter_another_schema(roles: Roles) -> None:
    """The gateway's role works in its own schema as a guest and does not see the sync schema."""
    with psycopg.connect(roles.url("wedsync_gateway"), autocommit=True) as app:
        assert app.execute("SHOW search_path").fetchone() == ("gateway",)
        for statement in ("CREATE TABLE gateway.mine ()", "CREATE TABLE public.mine ()"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                app.execute(statement)
        row = app.execute("SELECT has_schema_privilege('sync', 'USAGE')").fetchone()
    assert row == (False,)


def test_a_privileged_role_is_refused(roles: Roles) -> None:
    """Row level security would not bind a role with BYPASSRLS, so bootstrapping stops there."""
    with psycopg.connect(roles.admin_url, autocommit=True) as admin:
        admin.execute("ALTER ROLE wedsync_sync BYPASSRLS")
        try:
            with pytest.raises(ValueError, match=r"would not bind wedsync_sync"):
                bootstrap_roles(roles.admin_url, {})
        finally:
            admin.execute("ALTER ROLE wedsync_sync NOBYPASSRLS")


def test_an_unknown_role_is_refused(roles: Roles) -> None:
    """A password for a role that does not exist is a mistake in the configuration."""
    with pytest.raises(ValueError, match="unknown roles"):
        bootstrap_roles(roles.admin_url, {"wedsync_florist": "x"})


def test_a_wrong_password_is_not_mistaken_for_a_missing_database(own_admin_url: str, roles: Roles) -> None:
    """Where the login itself fails, nothing is created and the failure is shown."""
    with pytest.raises(psycopg.OperationalError):
        bootstrap_roles(login(own_admin_url, "nobody_here", "x"), {})


def test_a_database_that_exists_and_refuses_is_not_created_again(own_admin_url: str, roles: Roles) -> None:
    """Where the database exists but takes no connections, the failure is shown as it is."""
    with psycopg.connect(own_admin_url, autocommit=True) as admin:
        admin.execute("CREATE DATABASE closed ALLOW_CONNECTIONS false")
        with pytest.raises(psycopg.OperationalError, match="not currently accepting connections"):
            bootstrap_roles(database(own_admin_url, "closed"), {})
        admin.execute("DROP DATABASE closed")


def test_a_createrole_login_may_bootstrap_and_migrate(
    own_admin_url: str, scripts: Path, clean: Roles
) -> None:
    """On a managed server without a superuser, a login with CREATEROLE does all of it."""
    with psycopg.connect(own_admin_url, autocommit=True) as admin:
        admin.execute("CREATE ROLE manager LOGIN CREATEROLE CREATEDB PASSWORD 'manager'")
        # As if it had created them: on PostgreSQL 16+ that gives it the admin option on each.
        for role in ROLES:
            admin.execute(f"GRANT {role} TO manager WITH ADMIN OPTION, INHERIT FALSE, SET FALSE")
        manager_url = database(login(own_admin_url, "manager", "manager"), "managed")
        try:
            bootstrap_roles(manager_url, clean.passwords)
            bootstrap_roles(manager_url, clean.passwords)
            upgrade("conflicts", scripts, manager_url)
            with psycopg.connect(database(own_admin_url, "managed")) as managed:
                row = managed.execute(
                    "SELECT tableowner FROM pg_tables WHERE tablename = 'first_table'"
                ).fetchone()
            assert row == (OWNER,)
        finally:
            admin.execute("DROP DATABASE IF EXISTS managed WITH (FORCE)")
            admin.execute("DROP OWNED BY manager; DROP ROLE manager")


def test_migrations_run_once_as_the_owner_in_the_services_schema(clean: Roles, scripts: Path) -> None:
    """Tables and version land in the service's schema, owned by the owner; a second run does nothing."""
    upgrade("conflicts", scripts, clean.url(OWNER))
    upgrade("conflicts", scripts, clean.url(OWNER))
    assert _tables(clean) == {"alembic_version": OWNER, "first_table": OWNER}


def test_a_superuser_migrates_as_the_owner_too(clean: Roles, scripts: Path) -> None:
    """Whoever runs the migrations, what they create belongs to the owner."""
    upgrade("conflicts", scripts, clean.admin_url)
    assert _tables(clean)["first_table"] == OWNER


def test_a_failing_migration_leaves_the_ones_before_it_and_nothing_of_itself(
    clean: Roles, scripts: Path
) -> None:
    """Each migration is a transaction: the first stays, the second is undone and can be repeated."""
    second = scripts / "versions" / "0002_second.py"
    second.write_text(_SECOND.format(more="op.execute('SELECT nonsense')"))
    with pytest.raises(Exception, match="nonsense"):
        upgrade("conflicts", scripts, clean.url(OWNER))
    assert set(_tables(clean)) == {"alembic_version", "first_table"}
    second.write_text(_SECOND.format(more=""))
    upgrade("conflicts", scripts, clean.url(OWNER))
    assert "second_table" in _tables(clean)


def test_two_runs_at_once_take_turns(clean: Roles, scripts: Path) -> None:
    """Two processes that migrate at the same time both succeed, and each migration ran once."""
    errors: list[BaseException] = []

    def run() -> None:
        try:
            upgrade("conflicts", scripts, clean.url(OWNER))
        except BaseException as error:  # noqa: BLE001  # shown by the test
            errors.append(error)

    # Alembic's own context is one per process, so only one of the two may be in this one.
    with psycopg.connect(clean.admin_url, autocommit=True) as other:
        other.execute("SELECT pg_advisory_lock(%s)", [migrations._EXCLUSIVE])
        thread = threading.Thread(target=run)
        thread.start()
        thread.join(0.5)
        assert thread.is_alive()
        assert _tables(clean) == {}
        other.execute("SELECT pg_advisory_unlock(%s)", [migrations._EXCLUSIVE])
        thread.join(20)
    assert errors == []
    assert "first_table" in _tables(clean)


def test_waiting_for_another_run_has_an_end(
    clean: Roles, scripts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that never gets its turn says so instead of hanging."""
    monkeypatch.setattr(migrations, "_LOCK_SECONDS", 1)
    with psycopg.connect(clean.admin_url, autocommit=True) as other:
        other.execute("SELECT pg_advisory_lock(%s)", [migrations._EXCLUSIVE])
        with pytest.raises(Unavailable, match="still running"):
            upgrade("conflicts", scripts, clean.url(OWNER))
