"""Two more things are observed: that an account was connected, and changes no webhook told of."""

from alembic import op

revision = "0002_pre"
down_revision = "0001_pre"


def upgrade() -> None:
    # What may stand here is the service's business: the next release may know more than this one.
    op.execute("ALTER TABLE health.health_samples DROP CONSTRAINT health_samples_operation_check")
