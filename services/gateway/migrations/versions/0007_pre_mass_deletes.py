"""Deletes by vendors are counted, and people may say that many at once are meant."""

from alembic import op

revision = "0007_pre"
down_revision = "0006_pre"

_DELETES = """
ALTER TABLE gateway.vendor_activities ADD COLUMN deletes boolean NOT NULL DEFAULT false;
CREATE INDEX activities_that_delete ON gateway.vendor_activities (link_id, created_at) WHERE deletes;
ALTER TABLE gateway.wedding_vendor_integrations ADD COLUMN deletes_believed_until timestamptz;
COMMENT ON COLUMN gateway.wedding_vendor_integrations.deletes_believed_until
  IS 'Until then many deletes at once are no reason to ask: a person said that they are meant.';
"""


def upgrade() -> None:
    op.execute(_DELETES)
