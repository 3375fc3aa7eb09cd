"""Row level security of the schema `health`, from the catalog and by trying."""

from __future__ import annotations

import psycopg
import pytest

from tests.support.database import MigratedDatabase

_UNPROTECTED = """
    SELECT relname FROM pg_class
    WHERE relnamespace = 'health'::regnamespace AND relkind IN ('r', 'p') AND relname <> 'alembic_version'
      AND NOT (relrowsecurity AND relforcerowsecurity)
"""
_INSERT = """
    INSERT INTO health_samples (organization_id, integration_id, observation_id, operation, successes,
        failures, observed_at)
    VALUES (%s, gen_random_uuid(), gen_random_uuid(), 'read', 1, 0, now())
"""


def test_every_table_forces_row_level_security(migrated_database: MigratedDatabase) -> None:
    """No table of the schema, partitions included, is without enabled and forced row level security."""
    with psycopg.connect(migrated_database.admin_url) as admin:
        assert admin.execute(_UNPROTECTED).fetchall() == []


def test_rows_outside_the_scope_are_neither_seen_nor_written(migrated_database: MigratedDatabase) -> None:
    """A transaction reads and writes the organizations in its scope only; an empty one none."""
    with psycopg.connect(migrated_database.app_url("health")) as app:
        app.execute("SELECT set_config('app.organizations', 'a', true)")
        app.execute(_INSERT, ["a"])
        app.commit()
        assert app.execute("SELECT count(*) FROM health_samples").fetchone() == (0,)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            app.execute(_INSERT, ["a"])


def test_partitions_are_out_of_reach(migrated_database: MigratedDatabase) -> None:
    """The service cannot go round the policy by naming a partition."""
    with psycopg.connect(migrated_database.app_url("health")) as app:
        app.execute("SELECT set_config('app.organizations', 'a', true)")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            app.execute("SELECT FROM health_samples_p00")
