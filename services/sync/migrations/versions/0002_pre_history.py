"""Items as each change left them, owners that were told to leave, and change ids that grow old."""

from alembic import op

from wedsync.runtime.ddl import worker_access

revision = "0002_pre"
down_revision = "0001_pre"

# BRIN, because rows come in the order of their time: it costs nothing on the way of an edit.
_ADD = """
ALTER TABLE sync.changes ADD COLUMN state bytea;
COMMENT ON COLUMN sync.changes.state IS 'Envelope of the item as the change left it; NULL in older rows.';
ALTER TABLE sync.owners ADD COLUMN revoked boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN sync.owners.revoked IS 'Nobody can reach it: its lease is not renewed any more.';
CREATE INDEX change_keys_by_age ON sync.change_keys USING brin (created_at);
"""


def upgrade() -> None:
    op.execute(_ADD)
    op.execute(worker_access("sync.change_keys", ("wedding_id", "change_id", "created_at"), delete=True))
