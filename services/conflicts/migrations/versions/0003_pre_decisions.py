"""Conflicts are decided, and what follows from that is done in the wedding."""

from alembic import op

from wedsync.runtime.ddl import app_access, worker_access

revision = "0003_pre"
down_revision = "0002_pre"

_DECISIONS = """
CREATE TABLE conflicts.conflict_decisions (
  conflict_id      uuid PRIMARY KEY,
  request_id       uuid,
  organization_ids text[] NOT NULL CHECK (cardinality(organization_ids) > 0),
  decision         bytea NOT NULL,
  decided_at       timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON COLUMN conflicts.conflict_decisions.request_id IS 'The request that decided; null for a policy.';

CREATE TABLE conflicts.conflict_acts (
  conflict_id      uuid NOT NULL,
  place            smallint NOT NULL,
  act              text NOT NULL CHECK (act IN ('announce', 'decide', 'conclude')),
  organization_ids text[] NOT NULL CHECK (cardinality(organization_ids) > 0),
  state            text NOT NULL DEFAULT 'due' CHECK (state IN ('due', 'done', 'parked')),
  reason           text NOT NULL DEFAULT '',
  attempts         integer NOT NULL DEFAULT 0,
  created_at       timestamptz NOT NULL DEFAULT clock_timestamp(),
  not_before       timestamptz NOT NULL DEFAULT '-infinity',
  lease_until      timestamptz NOT NULL DEFAULT '-infinity',
  PRIMARY KEY (conflict_id, place)
);
COMMENT ON TABLE conflicts.conflict_acts
  IS 'What is to be done in the wedding about a conflict, in order of place.';
CREATE INDEX conflict_acts_due ON conflicts.conflict_acts (created_at) WHERE state = 'due';
"""

_POLICY = """
ALTER TABLE conflicts.{table} ENABLE ROW LEVEL SECURITY;
ALTER TABLE conflicts.{table} FORCE ROW LEVEL SECURITY;
CREATE POLICY {table}_tenant ON conflicts.{table} FOR ALL TO wedsync_conflicts
  USING (organization_ids && {scope}) WITH CHECK (organization_ids <@ {scope});
"""
_SCOPE = "string_to_array(nullif(current_setting('app.organizations', true), ''), ',')"
_ROUTING = (
    "conflict_id",
    "place",
    "act",
    "organization_ids",
    "state",
    "attempts",
    "created_at",
    "not_before",
    "lease_until",
)


def upgrade() -> None:
    op.execute(_DECISIONS)
    for table in ("conflict_decisions", "conflict_acts"):
        op.execute(_POLICY.format(table=table, scope=_SCOPE))
    op.execute(app_access("conflicts.conflict_decisions", ("SELECT", "INSERT")))
    op.execute(app_access("conflicts.conflict_acts", ("SELECT", "INSERT", "UPDATE")))
    op.execute(worker_access("conflicts.conflict_acts", _ROUTING, ("lease_until", "attempts")))
