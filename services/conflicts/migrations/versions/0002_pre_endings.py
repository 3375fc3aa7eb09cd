"""Conflicts end, and their sides may change their minds before that."""

from alembic import op

from wedsync.runtime.ddl import app_access

revision = "0002_pre"
down_revision = "0001_pre"

_ENDINGS = """
ALTER TABLE conflicts.integration_conflicts ADD COLUMN as_of_sequence bigint NOT NULL DEFAULT 0;
COMMENT ON COLUMN conflicts.integration_conflicts.as_of_sequence
  IS 'The sequence at which the claims were told.';

CREATE TABLE conflicts.conflict_endings (
  wedding_id       uuid NOT NULL,
  sequence         bigint NOT NULL,
  path             text NOT NULL,
  state            text NOT NULL CHECK (state IN ('resolved', 'superseded')),
  ended_at         timestamptz NOT NULL,
  organization_ids text[] NOT NULL CHECK (cardinality(organization_ids) > 0),
  final_claim      bytea NOT NULL,
  PRIMARY KEY (wedding_id, sequence, path)
);
COMMENT ON TABLE conflicts.conflict_endings
  IS 'Beside the conflicts and not in them, because an ending may arrive before its conflict does.';
"""

_POLICY = """
ALTER TABLE conflicts.conflict_endings ENABLE ROW LEVEL SECURITY;
ALTER TABLE conflicts.conflict_endings FORCE ROW LEVEL SECURITY;
CREATE POLICY conflict_endings_tenant ON conflicts.conflict_endings FOR ALL TO wedsync_conflicts
  USING (organization_ids && {scope}) WITH CHECK (organization_ids <@ {scope});
"""
_SCOPE = "string_to_array(nullif(current_setting('app.organizations', true), ''), ',')"


def upgrade() -> None:
    op.execute(_ENDINGS)
    op.execute(_POLICY.format(scope=_SCOPE))
    op.execute(app_access("conflicts.integration_conflicts", ("UPDATE",)))
    op.execute(app_access("conflicts.conflict_endings", ("SELECT", "INSERT")))
