"""The canonical truth: weddings, items, changes, the outbox, and who owns what."""

from alembic import op

from wedsync.runtime.ddl import (
    WEDDINGS,
    app_access,
    hash_partitions,
    row_policy,
    tenant_policy,
    worker_access,
)
from wedsync.runtime.roles import app_role

revision = "0001_pre"
down_revision = None

# A power of two, so that it can be doubled by splitting each.
_PARTITIONS = 8

_TABLES = """
CREATE TABLE sync.weddings (
  wedding_id   uuid PRIMARY KEY,
  title        bytea NOT NULL,
  day          date,
  time_zone    text NOT NULL,
  sequence     bigint NOT NULL DEFAULT 0,
  epoch        bigint NOT NULL DEFAULT 0,
  owner_id     uuid,
  created_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
  committed_at timestamptz NOT NULL DEFAULT clock_timestamp()
) WITH (fillfactor = 70);
COMMENT ON COLUMN sync.weddings.title IS 'Envelope of UTF-8 text.';
COMMENT ON COLUMN sync.weddings.epoch IS 'Rises with every activation; older ones are fenced.';

CREATE TABLE sync.wedding_members (
  wedding_id      uuid NOT NULL REFERENCES sync.weddings,
  organization_id text NOT NULL,
  role            text NOT NULL,
  created_at      timestamptz NOT NULL,
  PRIMARY KEY (wedding_id, organization_id)
);
COMMENT ON COLUMN sync.wedding_members.created_at IS 'The wedding''s own, so that lists are one index scan.';
CREATE INDEX wedding_members_by_organization
  ON sync.wedding_members (organization_id, created_at, wedding_id);

CREATE TABLE sync.items (
  wedding_id uuid NOT NULL,
  item_id    uuid NOT NULL,
  kind       text NOT NULL,
  deleted    boolean NOT NULL,
  revision   bigint NOT NULL,
  state      bytea NOT NULL,
  PRIMARY KEY (wedding_id, item_id)
) WITH (fillfactor = 80);
COMMENT ON COLUMN sync.items.revision IS 'The sequence at which the item last changed.';

CREATE TABLE sync.changes (
  wedding_id   uuid NOT NULL,
  sequence     bigint NOT NULL,
  change_id    uuid NOT NULL,
  item_id      uuid NOT NULL,
  committed_at timestamptz NOT NULL,
  body         bytea NOT NULL,
  trace_parent text NOT NULL,
  PRIMARY KEY (wedding_id, sequence)
) PARTITION BY HASH (wedding_id);
CREATE INDEX changes_by_item ON sync.changes (wedding_id, item_id, sequence);

CREATE TABLE sync.change_keys (
  wedding_id  uuid NOT NULL,
  change_id   uuid NOT NULL,
  fingerprint bytea NOT NULL,
  result      bytea NOT NULL,
  created_at  timestamptz NOT NULL,
  PRIMARY KEY (wedding_id, change_id)
) PARTITION BY HASH (wedding_id);

CREATE TABLE sync.outbox (
  wedding_id    uuid NOT NULL,
  fact_id       uuid NOT NULL,
  sequence      bigint NOT NULL,
  destination   text NOT NULL CHECK (destination IN ('gateway', 'conflicts')),
  body          bytea NOT NULL,
  trace_parent  text NOT NULL,
  committed_at  timestamptz NOT NULL,
  attempts      integer NOT NULL DEFAULT 0,
  not_before    timestamptz NOT NULL,
  claimed_until timestamptz NOT NULL DEFAULT '-infinity',
  PRIMARY KEY (wedding_id, fact_id)
) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000);
CREATE INDEX outbox_due ON sync.outbox (destination, not_before);

CREATE TABLE sync.owners (
  owner_id    uuid PRIMARY KEY,
  lease_until timestamptz NOT NULL
);
COMMENT ON TABLE sync.owners IS 'Owner processes and how long each may go on, by this server''s clock.';
"""

# An organization finds its weddings by its own memberships; everything else needs the wedding's id in scope.
_MINE = "organization_id = ANY(string_to_array(nullif(current_setting('app.organizations', true), ''), ','))"

_ROUTING = (
    "wedding_id",
    "fact_id",
    "sequence",
    "destination",
    "committed_at",
    "attempts",
    "not_before",
    "claimed_until",
)


def upgrade() -> None:
    op.execute(_TABLES)
    for table in ("weddings", "wedding_members", "items", "changes", "change_keys", "outbox"):
        op.execute(tenant_policy(f"sync.{table}", "wedding_id", WEDDINGS))
    for table in ("changes", "change_keys"):
        op.execute(hash_partitions(f"sync.{table}", _PARTITIONS))
    op.execute(row_policy("sync.wedding_members", app_role("sync"), condition=_MINE))
    op.execute(app_access("sync.weddings", ("SELECT", "INSERT", "UPDATE")))
    op.execute(app_access("sync.wedding_members", ("SELECT", "INSERT")))
    op.execute(app_access("sync.items", ("SELECT", "INSERT", "UPDATE")))
    op.execute(app_access("sync.changes", ("SELECT", "INSERT")))
    op.execute(app_access("sync.change_keys", ("SELECT", "INSERT")))
    op.execute(app_access("sync.outbox", ("SELECT", "INSERT", "DELETE")))
    op.execute(worker_access("sync.outbox", _ROUTING, ("attempts", "not_before", "claimed_until")))
    op.execute(app_access("sync.owners", ("SELECT", "INSERT", "UPDATE", "DELETE"), shared=True))
