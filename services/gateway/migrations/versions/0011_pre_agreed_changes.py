"""Of a change it is known whether its record showed by the answer what the wedding has."""

from alembic import op

revision = "0011_pre"
down_revision = "0010_pre"


def upgrade() -> None:
    op.execute("ALTER TABLE gateway.vendor_activities ADD COLUMN agreed boolean NOT NULL DEFAULT false")
