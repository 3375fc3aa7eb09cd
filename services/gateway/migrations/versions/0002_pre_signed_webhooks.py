"""Webhooks are signed, say what they tell of, and count their repetitions."""

from alembic import op

from wedsync.runtime.ddl import ORGANIZATIONS, app_access, tenant_policy

revision = "0002_pre"
down_revision = "0001_pre"

_SECRETS = """
CREATE TABLE gateway.webhook_secrets (
  organization_id text NOT NULL,
  integration_id  uuid NOT NULL,
  id              uuid NOT NULL,
  secret          bytea NOT NULL,
  created_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
  valid_until     timestamptz NOT NULL DEFAULT 'infinity',
  PRIMARY KEY (integration_id, id),
  FOREIGN KEY (organization_id, integration_id) REFERENCES gateway.vendor_integrations
);
COMMENT ON COLUMN gateway.webhook_secrets.id IS 'The id of the request that gave it.';
COMMENT ON COLUMN gateway.webhook_secrets.secret
  IS 'AES-256-GCM; the ids of integration and row are additional data.';
"""

_LOG = """
ALTER TABLE gateway.webhook_log ADD COLUMN event_name text NOT NULL DEFAULT '';
ALTER TABLE gateway.delivery_keys
  ADD COLUMN webhook_id uuid,
  ADD COLUMN repeats integer NOT NULL DEFAULT 0,
  ADD COLUMN last_repeat_at timestamptz;
"""


def upgrade() -> None:
    op.execute(_SECRETS)
    op.execute(tenant_policy("gateway.webhook_secrets", "organization_id", ORGANIZATIONS))
    op.execute(app_access("gateway.webhook_secrets", ("SELECT", "INSERT", "UPDATE", "DELETE")))
    op.execute(_LOG)
