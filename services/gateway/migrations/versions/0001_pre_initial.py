"""Accounts, links, shadows, intents, the projection, and what came in and goes out."""

from alembic import op

from wedsync.runtime.ddl import (
    ORGANIZATIONS,
    WEDDINGS,
    app_access,
    default_partition,
    hash_partitions,
    row_policy,
    tenant_policy,
    worker_access,
)
from wedsync.runtime.roles import OWNER, app_role

revision = "0001_pre"
down_revision = None

# A power of two, so that it can be doubled by splitting each.
_HASHED = 8

_ACCOUNTS = """
CREATE TABLE gateway.vendor_integrations (
  organization_id text NOT NULL,
  id              uuid NOT NULL,
  vendor          text NOT NULL,
  base_url        text NOT NULL,
  credentials     bytea NOT NULL,
  request_id      uuid NOT NULL,
  created_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (organization_id, id),
  UNIQUE (organization_id, request_id)
);
COMMENT ON COLUMN gateway.vendor_integrations.credentials IS 'AES-256-GCM; the id is additional data.';

CREATE TABLE gateway.endpoint_keys (
  hash            bytea PRIMARY KEY,
  organization_id text NOT NULL,
  integration_id  uuid NOT NULL,
  vendor          text NOT NULL
);
COMMENT ON COLUMN gateway.endpoint_keys.hash IS 'SHA-256 of the key in a webhook address.';

CREATE TABLE gateway.wedding_vendor_integrations (
  organization_id  text NOT NULL,
  id               uuid NOT NULL,
  wedding_id       uuid NOT NULL,
  integration_id   uuid NOT NULL,
  vendor           text NOT NULL,
  scope            jsonb NOT NULL,
  time_zone        text NOT NULL,
  state            text NOT NULL DEFAULT 'active',
  reason           text NOT NULL DEFAULT '',
  cursor           jsonb,
  request_id       uuid NOT NULL,
  created_at       timestamptz NOT NULL DEFAULT clock_timestamp(),
  scanned_at       timestamptz,
  next_poll_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
  poll_lease_until timestamptz NOT NULL DEFAULT '-infinity',
  poll_failures    integer NOT NULL DEFAULT 0,
  PRIMARY KEY (organization_id, id),
  UNIQUE (organization_id, request_id),
  FOREIGN KEY (organization_id, integration_id) REFERENCES gateway.vendor_integrations
);
CREATE INDEX links_by_wedding ON gateway.wedding_vendor_integrations (wedding_id);
CREATE INDEX links_to_poll ON gateway.wedding_vendor_integrations (next_poll_at) WHERE state = 'active';
"""

_RECORDS = """
CREATE TABLE gateway.shadow_items (
  organization_id text NOT NULL,
  wedding_id      uuid NOT NULL,
  link_id         uuid NOT NULL,
  item_id         uuid NOT NULL,
  kind            text NOT NULL,
  record_id       text,
  version         text NOT NULL DEFAULT '',
  generation      bigint NOT NULL DEFAULT 0,
  gone            boolean NOT NULL DEFAULT false,
  fields          bytea NOT NULL,
  lease_token     uuid,
  lease_until     timestamptz NOT NULL DEFAULT '-infinity',
  updated_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (link_id, item_id),
  FOREIGN KEY (organization_id, link_id) REFERENCES gateway.wedding_vendor_integrations
) WITH (fillfactor = 80);
CREATE UNIQUE INDEX shadow_items_by_record ON gateway.shadow_items (link_id, record_id);

CREATE TABLE gateway.delivery_intents (
  organization_id text NOT NULL,
  id              uuid PRIMARY KEY,
  link_id         uuid NOT NULL,
  item_id         uuid NOT NULL,
  kind            text NOT NULL,
  fields          bytea NOT NULL,
  state           text NOT NULL,
  created_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
  closed_at       timestamptz
);
CREATE INDEX intents_of_unknown_outcome ON gateway.delivery_intents (link_id, item_id)
  WHERE state IN ('open', 'superseded');

CREATE TABLE gateway.canonical_items (
  wedding_id uuid NOT NULL,
  item_id    uuid NOT NULL,
  kind       text NOT NULL,
  sequence   bigint NOT NULL,
  state      bytea NOT NULL,
  updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (wedding_id, item_id)
) WITH (fillfactor = 80);
"""

_INBOUND = """
CREATE TABLE gateway.webhook_log (
  id              uuid NOT NULL,
  accepted_at     timestamptz NOT NULL,
  organization_id text NOT NULL,
  integration_id  uuid NOT NULL,
  vendor          text NOT NULL,
  origin          text NOT NULL,
  delivery_key    text,
  body            bytea NOT NULL,
  state           text NOT NULL,
  reason          text NOT NULL DEFAULT '',
  attempts        integer NOT NULL DEFAULT 0,
  not_before      timestamptz NOT NULL DEFAULT '-infinity',
  lease_until     timestamptz NOT NULL DEFAULT '-infinity',
  trace_parent    text NOT NULL,
  detected_at     timestamptz NOT NULL,
  translated_at   timestamptz,
  PRIMARY KEY (accepted_at, id)
) PARTITION BY RANGE (accepted_at);
CREATE INDEX webhooks_waiting ON gateway.webhook_log (accepted_at) WHERE state = 'received';
CREATE INDEX webhooks_by_id ON gateway.webhook_log (id);

CREATE TABLE gateway.delivery_keys (
  organization_id text NOT NULL,
  integration_id  uuid NOT NULL,
  key             text NOT NULL,
  created_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (integration_id, key)
) PARTITION BY HASH (integration_id, key);

CREATE TABLE gateway.vendor_activities (
  id              uuid PRIMARY KEY,
  organization_id text NOT NULL,
  wedding_id      uuid NOT NULL,
  link_id         uuid NOT NULL,
  item_id         uuid NOT NULL,
  record_id       text,
  generation      bigint NOT NULL,
  webhook_id      uuid,
  change          bytea NOT NULL,
  state           text NOT NULL,
  reason          text NOT NULL DEFAULT '',
  result          bytea,
  sequence        bigint,
  attempts        integer NOT NULL DEFAULT 0,
  not_before      timestamptz NOT NULL DEFAULT '-infinity',
  lease_until     timestamptz NOT NULL DEFAULT '-infinity',
  trace_parent    text NOT NULL,
  detected_at     timestamptz NOT NULL,
  created_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
  committed_at    timestamptz,
  resolved_at     timestamptz
);
COMMENT ON COLUMN gateway.vendor_activities.id IS 'The change id, derived from link, record and generation.';
CREATE INDEX activities_waiting ON gateway.vendor_activities (created_at) WHERE state = 'pending';
CREATE INDEX activities_of_record ON gateway.vendor_activities (link_id, item_id);
CREATE INDEX activities_of_webhook ON gateway.vendor_activities (webhook_id);
"""

_OUTBOUND = """
CREATE TABLE gateway.vendor_deliveries (
  id              uuid NOT NULL,
  created_at      timestamptz NOT NULL,
  organization_id text NOT NULL,
  wedding_id      uuid NOT NULL,
  link_id         uuid NOT NULL,
  item_id         uuid NOT NULL,
  item_kind       text NOT NULL,
  change_id       uuid,
  sequence        bigint NOT NULL,
  lane            smallint NOT NULL,
  state           text NOT NULL DEFAULT 'due',
  reason          text NOT NULL DEFAULT '',
  attempts        integer NOT NULL DEFAULT 0,
  not_before      timestamptz NOT NULL DEFAULT '-infinity',
  lease_until     timestamptz NOT NULL DEFAULT '-infinity',
  trace_parent    text NOT NULL,
  accepted_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
  started_at      timestamptz,
  called_at       timestamptz,
  confirmed_at    timestamptz,
  closed_at       timestamptz,
  PRIMARY KEY (created_at, id)
) PARTITION BY RANGE (created_at);
COMMENT ON COLUMN gateway.vendor_deliveries.created_at IS 'When the change that made it due was committed.';
CREATE INDEX deliveries_due ON gateway.vendor_deliveries (lane, created_at) WHERE state = 'due';
CREATE INDEX deliveries_of_record ON gateway.vendor_deliveries (link_id, item_id) WHERE state = 'due';
CREATE INDEX deliveries_of_wedding ON gateway.vendor_deliveries (wedding_id, created_at);
CREATE INDEX deliveries_of_change ON gateway.vendor_deliveries (change_id);

CREATE TABLE gateway.integration_sync_log (
  id              uuid NOT NULL,
  started_at      timestamptz NOT NULL,
  ended_at        timestamptz NOT NULL,
  organization_id text NOT NULL,
  link_id         uuid NOT NULL,
  records         integer NOT NULL,
  looked_at       integer NOT NULL,
  error           text NOT NULL,
  PRIMARY KEY (started_at, id)
) PARTITION BY RANGE (started_at);
"""

# The only way from an endpoint key to its tenant: by hash, one row, nothing to browse.
_RESOLVE = f"""
CREATE FUNCTION gateway.resolve_endpoint(wanted bytea)
  RETURNS TABLE (organization_id text, integration_id uuid, vendor text)
  LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog
  AS 'SELECT k.organization_id, k.integration_id, k.vendor FROM gateway.endpoint_keys k
      WHERE k.hash = wanted';
REVOKE ALL ON FUNCTION gateway.resolve_endpoint(bytea) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION gateway.resolve_endpoint(bytea) TO {app_role("gateway")};
"""

_BY_TIME = ("gateway.webhook_log", "gateway.vendor_deliveries", "gateway.integration_sync_log")
_TENANT_TABLES = {
    "gateway.vendor_integrations": ORGANIZATIONS,
    "gateway.endpoint_keys": ORGANIZATIONS,
    "gateway.wedding_vendor_integrations": ORGANIZATIONS,
    "gateway.shadow_items": ORGANIZATIONS,
    "gateway.delivery_intents": ORGANIZATIONS,
    "gateway.canonical_items": WEDDINGS,
    "gateway.webhook_log": ORGANIZATIONS,
    "gateway.delivery_keys": ORGANIZATIONS,
    "gateway.vendor_activities": ORGANIZATIONS,
    "gateway.vendor_deliveries": ORGANIZATIONS,
    "gateway.integration_sync_log": ORGANIZATIONS,
}


def upgrade() -> None:
    for statements in (_ACCOUNTS, _RECORDS, _INBOUND, _OUTBOUND):
        op.execute(statements)
    for table in _BY_TIME:
        op.execute(default_partition(table))
    op.execute(hash_partitions("gateway.delivery_keys", _HASHED))
    for table, scope in _TENANT_TABLES.items():
        column = "wedding_id" if scope == WEDDINGS else "organization_id"
        op.execute(tenant_policy(table, column, scope))
        op.execute(app_access(table))
    op.execute(row_policy("gateway.endpoint_keys", OWNER))
    op.execute(_RESOLVE)
    _workers()


def _workers() -> None:
    op.execute(
        worker_access(
            "gateway.wedding_vendor_integrations",
            ("id", "organization_id", "wedding_id", "state", "next_poll_at", "poll_lease_until"),
            ("poll_lease_until",),
        )
    )
    op.execute(
        worker_access(
            "gateway.webhook_log",
            ("id", "accepted_at", "organization_id", "state", "not_before", "lease_until", "attempts"),
            ("lease_until", "attempts"),
        )
    )
    op.execute(
        worker_access(
            "gateway.vendor_activities",
            (
                "id",
                "organization_id",
                "wedding_id",
                "link_id",
                "item_id",
                "generation",
                "state",
                "not_before",
                "lease_until",
                "attempts",
                "created_at",
            ),
            ("lease_until", "attempts"),
        )
    )
    op.execute(
        worker_access(
            "gateway.vendor_deliveries",
            (
                "id",
                "created_at",
                "organization_id",
                "wedding_id",
                "link_id",
                "item_id",
                "item_kind",
                "lane",
                "state",
                "not_before",
                "lease_until",
            ),
            ("lease_until",),
        )
    )


def downgrade() -> None:
    raise RuntimeError("the first revision has nothing below it")
