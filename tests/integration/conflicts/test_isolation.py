"""Row level security of the schema `conflicts`, from the catalog and by trying."""

from __future__ import annotations

import psycopg
import pytest

from tests.support.database import MigratedDatabase

_UNPROTECTED = """
    SELECT relname FROM pg_class
    WHERE relnamespace = 'conflicts'::regnamespace AND relkind IN ('r', 'p') AND relname <> 'alembic_version'
      AND NOT (relrowsecurity AND relforcerowsecurity)
"""
_INSERT = """
    INSERT INTO integration_conflicts (wedding_id, sequence, path, conflict_id, item_id, item_kind, state,
        committed_at, organization_ids, current_claim, proposed_claim)
    VALUES (gen_random_uuid(), 1, 'title', gen_random_uuid(), gen_random_uuid(), 'task', 'open',
        now(), %s, '', '')
"""


def test_every_table_forces_row_level_security(migrated_database: MigratedDatabase) -> None:
    """No table of the schema is without enabled and forced row level security."""
    with psycopg.connect(migrated_database.admin_url) as admin:
        assert admin.execute(_UNPROTECTED).fetchall() == []


def test_nobody_writes_for_organizations_outside_the_scope(migrated_database: MigratedDatabase) -> None:
    """A row that would be visible to an organization outside the transaction's scope is refused."""
    with psycopg.connect(migrated_database.app_url("conflicts")) as app:
        app.execute("SELECT set_config('app.organizations', 'a,b', true)")
        app.execute(_INSERT, [["a", "b"]])
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            app.execute(_INSERT, [["a", "c"]])


def test_an_empty_scope_sees_nothing(migrated_database: MigratedDatabase) -> None:
    """Without a scope, and with one that was reset, no conflict is visible and none can be written."""
    with psycopg.connect(migrated_database.app_url("conflicts")) as app:
        app.execute("SELECT set_config('app.organizations', 'a', true)")
        app.execute(_INSERT, [["a"]])
        assert app.execute("SELECT count(*) FROM integration_conflicts").fetchone() == (1,)
        app.commit()
        assert app.execute("SELECT count(*) FROM integration_conflicts").fetchone() == (0,)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            app.execute(_INSERT, [[""]])
