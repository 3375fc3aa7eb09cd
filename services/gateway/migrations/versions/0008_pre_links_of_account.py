"""Links are found by their account: every webhook asks for them."""

from alembic import op

revision = "0008_pre"
down_revision = "0007_pre"


def upgrade() -> None:
    op.execute(
        "CREATE INDEX links_of_account ON gateway.wedding_vendor_integrations (integration_id, created_at)"
    )


def downgrade() -> None:
    op.execute("DROP INDEX gateway.links_of_account")
