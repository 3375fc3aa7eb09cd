"""Rewinds that were asked for, so that each is one, however often it is asked for."""

from alembic import op

from wedsync.runtime.ddl import WEDDINGS, app_access, tenant_policy, worker_access

revision = "0003_pre"
down_revision = "0002_pre"

_ADD = """
CREATE TABLE sync.rewinds (
  wedding_id  uuid NOT NULL,
  request_id  uuid NOT NULL,
  fingerprint bytea NOT NULL,
  sequence    bigint NOT NULL,
  created_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (wedding_id, request_id)
);
COMMENT ON COLUMN sync.rewinds.sequence IS 'What was read when it began: its changes derive from it.';
"""


def upgrade() -> None:
    op.execute(_ADD)
    op.execute(tenant_policy("sync.rewinds", "wedding_id", WEDDINGS))
    op.execute(app_access("sync.rewinds", ("SELECT", "INSERT")))
    op.execute(worker_access("sync.rewinds", ("wedding_id", "request_id", "created_at"), delete=True))
