"""Where each owner listens, so that every server can call it."""

from alembic import op

revision = "0004_pre"
down_revision = "0003_pre"


def upgrade() -> None:
    op.execute("ALTER TABLE sync.owners ADD COLUMN address text NOT NULL DEFAULT ''")
    op.execute("COMMENT ON COLUMN sync.owners.address IS 'host:port of its line, empty without one.'")
