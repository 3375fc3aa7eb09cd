"""Channels by which vendors tell us that something moved, and when each link's are looked at."""

from alembic import op

from wedsync.runtime.ddl import ORGANIZATIONS, app_access, tenant_policy
from wedsync.runtime.roles import worker_role

revision = "0004_pre"
down_revision = "0003_pre"

_CHANNELS = """
CREATE TABLE gateway.push_channels (
  organization_id text NOT NULL,
  id              uuid NOT NULL,
  link_id         uuid NOT NULL,
  integration_id  uuid NOT NULL,
  channel_id      text NOT NULL,
  channel         bytea NOT NULL,
  opened          boolean NOT NULL DEFAULT false,
  created_at      timestamptz NOT NULL,
  ends_at         timestamptz NOT NULL,
  PRIMARY KEY (organization_id, id),
  FOREIGN KEY (organization_id, link_id) REFERENCES gateway.wedding_vendor_integrations
);
COMMENT ON COLUMN gateway.push_channels.channel_id IS 'The vendor''s name of it.';
COMMENT ON COLUMN gateway.push_channels.channel
  IS 'Secret, address and what ends it: AES-256-GCM; the id is additional data.';
CREATE INDEX channels_of_link ON gateway.push_channels (link_id);
CREATE INDEX channels_by_name ON gateway.push_channels (integration_id, channel_id);
"""

_LINKS = """
ALTER TABLE gateway.wedding_vendor_integrations
  ADD COLUMN push_due_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  ADD COLUMN push_lease_until timestamptz NOT NULL DEFAULT '-infinity',
  ADD COLUMN push_failures integer NOT NULL DEFAULT 0,
  ADD COLUMN push_reason text NOT NULL DEFAULT '',
  ADD COLUMN pushed_until timestamptz;
COMMENT ON COLUMN gateway.wedding_vendor_integrations.push_reason IS 'Why it has no channel.';
COMMENT ON COLUMN gateway.wedding_vendor_integrations.pushed_until IS 'When its last channel ends.';
CREATE INDEX links_to_push ON gateway.wedding_vendor_integrations (vendor, push_due_at);
"""

_LOG = "ALTER TABLE gateway.webhook_log ADD COLUMN wakes uuid[] NOT NULL DEFAULT '{}';"


def upgrade() -> None:
    op.execute(_CHANNELS)
    op.execute(tenant_policy("gateway.push_channels", "organization_id", ORGANIZATIONS))
    op.execute(app_access("gateway.push_channels"))
    op.execute(_LINKS)
    op.execute(_LOG)
    # The policies of these rows are there already; only the columns are new to the worker.
    table, worker = "gateway.wedding_vendor_integrations", worker_role("gateway")
    op.execute(f"GRANT SELECT (vendor, push_due_at, push_lease_until) ON {table} TO {worker}")
    op.execute(f"GRANT UPDATE (push_lease_until) ON {table} TO {worker}")
