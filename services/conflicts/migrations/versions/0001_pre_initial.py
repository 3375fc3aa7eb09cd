"""Conflicts, each visible to the organizations it names."""

from alembic import op

from wedsync.runtime.ddl import app_access

revision = "0001_pre"
down_revision = None

_CONFLICTS = """
CREATE TABLE conflicts.integration_conflicts (
  wedding_id       uuid NOT NULL,
  sequence         bigint NOT NULL,
  path             text NOT NULL,
  conflict_id      uuid NOT NULL UNIQUE,
  item_id          uuid NOT NULL,
  item_kind        text NOT NULL,
  state            text NOT NULL CHECK (state IN ('open')),
  committed_at     timestamptz NOT NULL,
  organization_ids text[] NOT NULL CHECK (cardinality(organization_ids) > 0),
  current_claim    bytea NOT NULL,
  proposed_claim   bytea NOT NULL,
  PRIMARY KEY (wedding_id, sequence, path)
);
COMMENT ON COLUMN conflicts.integration_conflicts.committed_at
  IS 'When the collision was logged.';
COMMENT ON COLUMN conflicts.integration_conflicts.organization_ids
  IS 'Members of the wedding then: who may see it.';
COMMENT ON COLUMN conflicts.integration_conflicts.current_claim
  IS 'Envelope of JSON: the value, and who set it.';
CREATE INDEX integration_conflicts_by_organization
  ON conflicts.integration_conflicts USING gin (organization_ids);
CREATE INDEX integration_conflicts_newest
  ON conflicts.integration_conflicts (committed_at DESC, conflict_id DESC);
"""

# A conflict belongs to several organizations at once, which `tenant_policy`, made for one owner, cannot
# say: any member sees it, and who writes it acts for all members.
_POLICY = """
ALTER TABLE conflicts.integration_conflicts ENABLE ROW LEVEL SECURITY;
ALTER TABLE conflicts.integration_conflicts FORCE ROW LEVEL SECURITY;
CREATE POLICY integration_conflicts_tenant ON conflicts.integration_conflicts FOR ALL TO wedsync_conflicts
  USING (organization_ids && {scope}) WITH CHECK (organization_ids <@ {scope});
"""
_SCOPE = "string_to_array(nullif(current_setting('app.organizations', true), ''), ',')"


def upgrade() -> None:
    op.execute(_CONFLICTS)
    op.execute(_POLICY.format(scope=_SCOPE))
    op.execute(app_access("conflicts.integration_conflicts", ("SELECT", "INSERT")))
