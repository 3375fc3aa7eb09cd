"""Items as each change left them, revoked owners, change ids that grow old, facts in lanes."""

from alembic import op

from wedsync.runtime.ddl import worker_access
from wedsync.runtime.roles import worker_role

revision = "0002_pre"
down_revision = "0001_pre"

# BRIN, because rows come in the order of their time: it costs nothing on the way of an edit.
_ADD = """
ALTER TABLE sync.changes ADD COLUMN state bytea;
COMMENT ON COLUMN sync.changes.state IS 'Envelope of the item as the change left it; NULL in older rows.';
ALTER TABLE sync.owners ADD COLUMN revoked boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN sync.owners.revoked IS 'Nobody can reach it: its lease is not renewed any more.';
CREATE INDEX change_keys_by_age ON sync.change_keys USING brin (created_at);
ALTER TABLE sync.outbox ADD COLUMN lane smallint NOT NULL DEFAULT 2;
COMMENT ON COLUMN sync.outbox.lane IS 'Urgency: 0 emergency, 1 critical, 2 normal, 3 bulk.';
CREATE INDEX outbox_due_by_lane ON sync.outbox (destination, lane, not_before);
DROP INDEX sync.outbox_due;
"""


def upgrade() -> None:
    op.execute(_ADD)
    op.execute(f"GRANT SELECT (lane) ON sync.outbox TO {worker_role('sync')}")
    op.execute(worker_access("sync.change_keys", ("wedding_id", "change_id", "created_at"), delete=True))
