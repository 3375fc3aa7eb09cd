"""How each integration is doing, and the observations of the last day behind it."""

from alembic import op

from wedsync.runtime.ddl import ORGANIZATIONS, app_access, hash_partitions, tenant_policy

revision = "0001_pre"
down_revision = None

# A power of two, so that it can be doubled by splitting each.
_PARTITIONS = 8

_TABLES = """
CREATE TABLE health.integration_health_status (
  organization_id text NOT NULL,
  integration_id  uuid NOT NULL,
  vendor          text NOT NULL,
  first_seen_at   timestamptz NOT NULL,
  last_success_at timestamptz,
  last_failure_at timestamptz,
  last_error      text NOT NULL,
  PRIMARY KEY (organization_id, integration_id)
) WITH (fillfactor = 70);

CREATE TABLE health.health_samples (
  organization_id text NOT NULL,
  integration_id  uuid NOT NULL,
  observation_id  uuid NOT NULL,
  operation       text NOT NULL CHECK (operation IN ('webhook', 'read', 'write')),
  successes       integer NOT NULL CHECK (successes >= 0),
  failures        integer NOT NULL CHECK (failures >= 0),
  observed_at     timestamptz NOT NULL,
  PRIMARY KEY (organization_id, integration_id, observation_id)
) PARTITION BY HASH (integration_id);
COMMENT ON TABLE health.health_samples
  IS 'By hash and not by day, so that the same observation twice is one row whatever its time says.';
CREATE INDEX health_samples_recent ON health.health_samples (organization_id, integration_id, observed_at);
"""


def upgrade() -> None:
    op.execute(_TABLES)
    for table in ("integration_health_status", "health_samples"):
        op.execute(tenant_policy(f"health.{table}", "organization_id", ORGANIZATIONS))
    op.execute(hash_partitions("health.health_samples", _PARTITIONS))
    op.execute(app_access("health.integration_health_status", ("SELECT", "INSERT", "UPDATE")))
    op.execute(app_access("health.health_samples", ("SELECT", "INSERT", "DELETE")))
