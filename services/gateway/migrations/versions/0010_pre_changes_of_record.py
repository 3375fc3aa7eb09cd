"""What is on its way of a record is found in one look, however many changes it had before."""

from alembic import op

revision = "0010_pre"
down_revision = "0009_pre"


def upgrade() -> None:
    op.execute("""
        CREATE INDEX activities_pending ON gateway.vendor_activities (link_id, item_id, generation)
          WHERE state = 'pending';
        CREATE INDEX activities_committed ON gateway.vendor_activities (link_id, item_id, sequence);
        DROP INDEX gateway.activities_of_record;
    """)
