"""One index has all that is asked for: of links by wedding and by account, and of changes in their order."""

from alembic import op

from wedsync.runtime.roles import worker_role

revision = "0012_pre"
down_revision = "0011_pre"


def upgrade() -> None:
    op.execute(f"""
        ALTER FUNCTION gateway.resolve_endpoint(bytea) ROWS 1;
        GRANT SELECT (resolved_at) ON gateway.vendor_activities TO {worker_role("gateway")};
        CREATE INDEX links_of_wedding ON gateway.wedding_vendor_integrations (wedding_id, organization_id);
        CREATE INDEX links_of_owned_account ON gateway.wedding_vendor_integrations
          (integration_id, organization_id, created_at);
        CREATE INDEX activities_in_order ON gateway.vendor_activities (backfill, created_at)
          WHERE resolved_at IS NULL;
        CREATE INDEX webhooks_waiting_of_account ON gateway.webhook_log (integration_id, accepted_at)
          WHERE state = 'received';
        DROP INDEX gateway.webhooks_waiting;
        DROP INDEX gateway.links_by_wedding;
        DROP INDEX gateway.links_of_account;
        DROP INDEX gateway.activities_waiting;
    """)


def downgrade() -> None:
    op.execute(f"""
        ALTER FUNCTION gateway.resolve_endpoint(bytea) ROWS 1000;
        REVOKE SELECT (resolved_at) ON gateway.vendor_activities FROM {worker_role("gateway")};
        CREATE INDEX links_by_wedding ON gateway.wedding_vendor_integrations (wedding_id);
        CREATE INDEX links_of_account ON gateway.wedding_vendor_integrations (integration_id, created_at);
        CREATE INDEX webhooks_waiting ON gateway.webhook_log (accepted_at) WHERE state = 'received';
        DROP INDEX gateway.webhooks_waiting_of_account;
        CREATE INDEX activities_waiting ON gateway.vendor_activities (created_at) WHERE state = 'pending';
        DROP INDEX gateway.activities_in_order;
        DROP INDEX gateway.links_of_owned_account;
        DROP INDEX gateway.links_of_wedding;
    """)
