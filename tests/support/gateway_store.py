"""The gateway's stores on a real database, and the values that tests put into them."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import psycopg
from psycopg.rows import dict_row

from services.gateway.observe import Observation
from services.gateway.records import Link, RecordKey, Shadow, Shown
from services.gateway.store.activities import ActivityStore
from services.gateway.store.channels import ChannelStore
from services.gateway.store.deliveries import Commit, DeliveryStore
from services.gateway.store.endings import EndingStore
from services.gateway.store.inbound import Arrival, Cause, Endpoint, InboundStore
from services.gateway.store.journeys import JourneyStore
from services.gateway.store.latency import LatencyStore
from services.gateway.store.leases import Held, RecordLeases
from services.gateway.store.links import LinkStore, endpoint_hash, new_endpoint_key
from services.gateway.store.polls import PollStore
from services.gateway.store.projection import ProjectionStore
from services.gateway.store.secrets import SecretStore
from services.gateway.store.stuck import StuckStore
from services.gateway.store.tokens import TokenStore
from services.gateway.vendors.port import Account
from tests.support.database import MigratedDatabase
from wedsync.clock import FakeClock
from wedsync.model.changes import Change, ChangeKind, FieldState, ItemState, Priority, Source
from wedsync.model.ids import change_id, new_id
from wedsync.model.items import FieldValue, ItemKind
from wedsync.runtime.database import Database
from wedsync.runtime.vault import Vault

EVENT = ItemKind.TIMELINE_EVENT
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"
PASSWORD = "correct-horse-battery-staple"
SEEN_AT = datetime(2027, 1, 1, 12, tzinfo=UTC)

_LEASED = ("webhook_log", "vendor_activities", "vendor_deliveries", "shadow_items")


@dataclass(frozen=True, kw_only=True)
class Stores:
    """Every store of one gateway replica, and the superuser's view of what they wrote."""

    admin_url: str
    database: Database
    worker: Database
    inbound: InboundStore
    activities: ActivityStore
    leases: RecordLeases
    links: LinkStore
    polls: PollStore
    projection: ProjectionStore
    endings: EndingStore
    stuck: StuckStore
    deliveries: DeliveryStore
    journeys: JourneyStore
    latency: LatencyStore
    secrets: SecretStore
    channels: ChannelStore
    tokens: TokenStore

    def sql(self, query: str, *values: Any) -> list[dict[str, Any]]:
        """Run a statement that row level security does not bind; return its rows."""
        return run_sql(self.admin_url, query, *values)

    def leases_end(self) -> None:
        """Let the time of every claim be over, as after a crash and a wait."""
        leases_end(self.admin_url)


@dataclass(frozen=True, kw_only=True)
class Tenant:
    """An organization with one account, its webhook address, and one link to a wedding."""

    link: Link
    endpoint: Endpoint
    endpoint_key: str
    item_id: str = field(default_factory=new_id)

    def key(self, item_id: str = "") -> RecordKey:
        """Name one vendor record of the link."""
        return RecordKey(
            organization_id=self.link.organization_id,
            wedding_id=self.link.wedding_id,
            link_id=self.link.link_id,
            item_id=item_id or self.item_id,
        )

    def arrival(self, body: bytes = b"{}", **but: Any) -> Arrival:
        """Return a webhook of the tenant's."""
        values = {
            "webhook_id": new_id(),
            "endpoint": self.endpoint,
            "body": body,
            "trace_parent": TRACE,
            "detected_at": SEEN_AT,
            **but,
        }
        return Arrival(**values)


def run_sql(admin_url: str, query: str, *values: Any) -> list[dict[str, Any]]:
    """Run a statement as the superuser; return its rows."""
    with psycopg.connect(admin_url, row_factory=dict_row) as admin:
        cursor = admin.execute(query.encode(), values)
        return cursor.fetchall() if cursor.description else []


def leases_end(admin_url: str) -> None:
    """Let the time of every claim and lease be over."""
    for table in _LEASED:
        run_sql(admin_url, f"UPDATE gateway.{table} SET lease_until = '-infinity'")
    run_sql(
        admin_url,
        "UPDATE gateway.wedding_vendor_integrations"
        " SET poll_lease_until = '-infinity', push_lease_until = '-infinity'",
    )


@contextlib.asynccontextmanager
async def opened_stores(database: MigratedDatabase, pool: int = 4) -> AsyncIterator[Stores]:
    """Open the stores as the gateway's roles."""
    app = Database(database.app_url("gateway"), pool)
    worker = Database(database.worker_url("gateway"), pool)
    vault = Vault({"m1": bytes(range(32))}, "m1")
    links = LinkStore(app, vault)
    try:
        yield Stores(
            admin_url=database.admin_url,
            database=app,
            worker=worker,
            inbound=InboundStore(app, worker),
            activities=ActivityStore(app, worker, FakeClock()),
            leases=RecordLeases(app),
            links=links,
            polls=PollStore(app, worker),
            projection=ProjectionStore(app),
            endings=EndingStore(app, vault),
            stuck=StuckStore(app),
            deliveries=DeliveryStore(app, worker),
            journeys=JourneyStore(app),
            latency=LatencyStore(app),
            secrets=SecretStore(app, vault),
            channels=ChannelStore(app, worker, links, vault),
            tokens=TokenStore(app, vault),
        )
    finally:
        await app.dispose()
        await worker.dispose()


async def new_tenant(
    stores: Stores, *, organization_id: str = "", wedding_id: str = "", vendor: str = "tave"
) -> Tenant:
    """Connect and link."""
    organization = organization_id or f"org-{new_id()}"
    account = Account(
        integration_id=new_id(), base_url="https://vendor.test", credentials={"password": PASSWORD}
    )
    key = new_endpoint_key()
    integration = await stores.links.connect(
        organization_id=organization,
        request_id=new_id(),
        vendor=vendor,
        account=account,
        endpoint_key=key,
    )
    link = a_link(organization, integration.integration_id, wedding_id=wedding_id or new_id(), vendor=vendor)
    made = await stores.links.link(link, request_id=new_id(), trace_parent=TRACE)
    door = await stores.secrets.door(endpoint_hash(key))
    assert door is not None
    return Tenant(link=made, endpoint=door.endpoint, endpoint_key=key)


def a_link(organization_id: str, integration_id: str, *, wedding_id: str, vendor: str = "tave") -> Link:
    """Return a link that is not stored yet."""
    return Link(
        link_id=new_id(),
        organization_id=organization_id,
        wedding_id=wedding_id,
        integration_id=integration_id,
        vendor=vendor,
        scope={"job_id": "01HV0000000000000000000000"},
        time_zone="America/New_York",
    )


def an_item(item_id: str, *, revision: int = 1, **values: FieldValue) -> ItemState:
    """Return an item as the sync service hands it over."""
    by = Source(organization_id="org", actor="ann")
    return ItemState(
        item_id=item_id,
        kind=EVENT,
        life=FieldState(value=None, revision=1, source=by),
        fields={
            path: FieldState(value=value, revision=revision, source=by) for path, value in values.items()
        },
    )


def a_commit(wedding_id: str, item: ItemState, sequence: int, **but: Any) -> Commit:
    """Return a commit as the sync service hands it over."""
    values = {
        "wedding_id": wedding_id,
        "sequence": sequence,
        "change_id": new_id(),
        "committed_at": SEEN_AT,
        "item": item,
        "priority": Priority.NORMAL,
        "trace_parent": TRACE,
        **but,
    }
    return Commit(**values)


def a_cause(webhook_id: str | None = None) -> Cause:
    """Return why a record is looked at."""
    return Cause(trace_parent=TRACE, detected_at=SEEN_AT, webhook_id=webhook_id)


def record_id(item_id: str) -> str:
    """Return the vendor's name of the record that stands for an item."""
    return f"event/{item_id}"


def seen(held: Held, **values: FieldValue) -> Observation:
    """Return what looking at the held record brought: these values, all the vendor's own edits."""
    shown = {path: Shown(value=value, revision=0) for path, value in values.items()}
    shadow = Shadow(
        link_id=held.key.link_id,
        item_id=held.key.item_id,
        kind=EVENT,
        record_id=record_id(held.key.item_id),
        version="v1",
        generation=held.shadow.generation + 1,
        fields={**held.shadow.fields, **shown},
    )
    return Observation(shadow=shadow, change=ChangeKind.UPDATE, values=values)


def a_change(tenant: Tenant, held: Held, values: Mapping[str, FieldValue]) -> Change:
    """Return the change that the observation asks for."""
    return Change(
        change_id=change_id(tenant.link.link_id, held.key.item_id, held.shadow.generation + 1),
        item_id=held.key.item_id,
        item_kind=EVENT,
        kind=ChangeKind.UPDATE,
        source=Source(
            organization_id=tenant.link.organization_id,
            actor="integration:1",
            link_id=tenant.link.link_id,
            vendor="tave",
            record_id=record_id(held.key.item_id),
        ),
        values=values,
        default_base=0,
        trace_parent=TRACE,
    )


async def an_edit(
    stores: Stores, tenant: Tenant, *, webhook_id: str | None = None, item_id: str = "", **values: FieldValue
) -> Change:
    """Let the vendor change a record: commit shadow and change."""
    held = await stores.leases.take(tenant.key(item_id), EVENT)
    assert held is not None
    change = a_change(tenant, held, values)
    await stores.inbound.commit_observation(held, seen(held, **values), change, a_cause(webhook_id), [])
    return change
