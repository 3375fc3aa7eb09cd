"""Records worked on by themselves, causes, backfills, matches of a new link, and accounts that end."""

from alembic import op

from wedsync.runtime.roles import worker_role

revision = "0006_pre"
down_revision = "0005_pre"

_INBOUND = """
ALTER TABLE gateway.webhook_log
  ADD COLUMN cause text NOT NULL DEFAULT '',
  ADD COLUMN link_id uuid,
  ADD COLUMN record_id text,
  ADD COLUMN parent_id uuid;
COMMENT ON COLUMN gateway.webhook_log.cause IS 'Why it failed, in a word.';
COMMENT ON COLUMN gateway.webhook_log.record_id IS 'Where it is about one record of one link.';
COMMENT ON COLUMN gateway.webhook_log.parent_id IS 'The webhook it was replayed from or set apart from.';
CREATE INDEX webhooks_of_record ON gateway.webhook_log (link_id, record_id) WHERE record_id IS NOT NULL;
CREATE INDEX webhooks_set_apart ON gateway.webhook_log (parent_id) WHERE parent_id IS NOT NULL;
ALTER TABLE gateway.vendor_activities ADD COLUMN backfill boolean NOT NULL DEFAULT false;
"""

# A record that is brought up to date settles what was parked for it before.
_OUTBOUND = """
ALTER TABLE gateway.vendor_deliveries ADD COLUMN cause text NOT NULL DEFAULT '';
CREATE INDEX deliveries_open_of_record ON gateway.vendor_deliveries (link_id, item_id)
  WHERE state IN ('due', 'parked');
DROP INDEX gateway.deliveries_of_record;
CREATE INDEX deliveries_parked ON gateway.vendor_deliveries (organization_id, created_at)
  WHERE state = 'parked';
"""

# A link that exists has been looked at: its first look counts as over.
_LINKS = """
ALTER TABLE gateway.wedding_vendor_integrations
  ADD COLUMN poll_token uuid,
  ADD COLUMN poll_seconds double precision,
  ADD COLUMN midway boolean NOT NULL DEFAULT false,
  ADD COLUMN backfill_started_at timestamptz,
  ADD COLUMN backfill_ended_at timestamptz DEFAULT clock_timestamp(),
  ADD COLUMN backfill_records bigint NOT NULL DEFAULT 0,
  ADD COLUMN backfill_pages integer NOT NULL DEFAULT 0,
  ADD COLUMN backfill_expected bigint NOT NULL DEFAULT 0;
ALTER TABLE gateway.wedding_vendor_integrations ALTER COLUMN backfill_ended_at DROP DEFAULT;
COMMENT ON COLUMN gateway.wedding_vendor_integrations.midway IS 'The cursor is between two pages of a scan.';
ALTER TABLE gateway.vendor_integrations
  ADD COLUMN version integer NOT NULL DEFAULT 1,
  ADD COLUMN updated_at timestamptz,
  ADD COLUMN disconnected_at timestamptz;
ALTER TABLE gateway.access_tokens ADD COLUMN account_version integer NOT NULL DEFAULT 1;
COMMENT ON COLUMN gateway.access_tokens.account_version IS 'The credentials they came from.';
ALTER TABLE gateway.shadow_items ADD COLUMN expected_record text;
COMMENT ON COLUMN gateway.shadow_items.expected_record
  IS 'The record that the item is there already, as people said when they linked.';
CREATE UNIQUE INDEX shadow_items_expected ON gateway.shadow_items (link_id, expected_record)
  WHERE expected_record IS NOT NULL;
"""

_WORKER = f"""
GRANT SELECT (backfill) ON gateway.vendor_activities TO {worker_role("gateway")};
GRANT UPDATE (poll_token) ON gateway.wedding_vendor_integrations TO {worker_role("gateway")};
GRANT SELECT (poll_token) ON gateway.wedding_vendor_integrations TO {worker_role("gateway")};
"""


def upgrade() -> None:
    for statements in (_INBOUND, _OUTBOUND, _LINKS, _WORKER):
        op.execute(statements)
