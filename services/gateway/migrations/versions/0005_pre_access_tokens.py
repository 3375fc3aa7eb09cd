"""Access tokens that end are kept and refreshed; no vendor takes all places where work is done."""

from alembic import op

from wedsync.runtime.ddl import ORGANIZATIONS, app_access, tenant_policy
from wedsync.runtime.roles import worker_role

revision = "0005_pre"
down_revision = "0004_pre"

_TOKENS = """
CREATE TABLE gateway.access_tokens (
  organization_id text NOT NULL,
  integration_id  uuid NOT NULL,
  tokens          bytea NOT NULL,
  ends_at         timestamptz NOT NULL,
  generation      bigint NOT NULL DEFAULT 0,
  refreshed_at    timestamptz NOT NULL DEFAULT 'epoch',
  failures        integer NOT NULL DEFAULT 0,
  not_before      timestamptz NOT NULL DEFAULT 'epoch',
  reconnect       text NOT NULL DEFAULT '',
  lease_token     uuid,
  lease_until     timestamptz NOT NULL DEFAULT 'epoch',
  PRIMARY KEY (organization_id, integration_id),
  FOREIGN KEY (organization_id, integration_id) REFERENCES gateway.vendor_integrations
);
COMMENT ON COLUMN gateway.access_tokens.tokens
  IS 'AES-256-GCM; the id of the integration is additional data.';
COMMENT ON COLUMN gateway.access_tokens.reconnect
  IS 'Why the account must be connected again; empty while it works.';
"""
# The sweeps pass by what belongs to a vendor that has its share of work already.
_OWNERS = "\n".join(
    f"GRANT SELECT (integration_id, vendor) ON gateway.{table} TO {worker_role('gateway')};"
    for table in ("wedding_vendor_integrations", "webhook_log")
)


def upgrade() -> None:
    op.execute(_TOKENS)
    op.execute(tenant_policy("gateway.access_tokens", "organization_id", ORGANIZATIONS))
    op.execute(app_access("gateway.access_tokens"))
    op.execute(_OWNERS)
