"""The changes of the last while are found by their time, one tenant's at a time."""

from alembic import op

revision = "0003_pre"
down_revision = "0002_pre"

# Webhooks and deliveries are kept by time and keyed by their time; changes were found by id only.
# Not CONCURRENTLY: that waits for every other session of the database, a second run of the migrations
# included, which waits for this one.
_CHANGES = """
CREATE INDEX activities_of_tenant ON gateway.vendor_activities (organization_id, created_at);
"""


def upgrade() -> None:
    op.execute(_CHANGES)
