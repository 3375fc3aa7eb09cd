"""A claim of a delivery counts the try; what is due is told apart by its newest commit."""

from alembic import op

from wedsync.runtime.roles import worker_role

revision = "0009_pre"
down_revision = "0008_pre"

_WORKER = f"""
GRANT SELECT (attempts, trace_parent) ON gateway.vendor_deliveries TO {worker_role("gateway")};
GRANT UPDATE (attempts, started_at) ON gateway.vendor_deliveries TO {worker_role("gateway")};
"""


def upgrade() -> None:
    op.execute(_WORKER)
