"""A gateway as a process, between a sync service of its own and vendors, on the bench's servers."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from services.gateway.store.blobs import unpack
from tests.faults.bench import Bench
from tests.faults.evidence import Evidence
from tests.faults.load import Keys
from tests.faults.replica import Replica
from tests.faults.trial import Place
from tests.support.gateway_store import leases_end
from wedsync.model.changes import Change, ItemState
from wedsync.model.codec import load_change, load_item, load_result
from wedsync.runtime.embedded.local import free_port
from wedsync.runtime.vault import create_keys_file
from wedsync.testing.history import Call, Entry

POLL_SECONDS = 2.0
TIMEOUT_SECONDS = 2.0
"""What the gateway waits for a vendor's answer."""

# Everything that is under way for some weddings, and since when.
_UNDER_WAY = """
WITH links AS (SELECT wedding_id, id AS link_id, integration_id
               FROM gateway.wedding_vendor_integrations WHERE wedding_id = ANY(%(weddings)s::uuid[])),
under_way AS (
    SELECT 'commit' AS what, committed_at AS since FROM sync.outbox
    WHERE wedding_id = ANY(%(weddings)s::uuid[])
    UNION ALL
    SELECT 'change ' || reason, created_at FROM gateway.vendor_activities
    WHERE wedding_id = ANY(%(weddings)s::uuid[]) AND state = 'pending'
    UNION ALL
    SELECT 'delivery ' || reason, accepted_at FROM gateway.vendor_deliveries
    WHERE wedding_id = ANY(%(weddings)s::uuid[]) AND state = 'due'
    UNION ALL
    SELECT 'webhook ' || reason, accepted_at FROM gateway.webhook_log
    WHERE integration_id IN (SELECT integration_id FROM links) AND state = 'received')
SELECT what, count(*) FROM under_way WHERE since <= coalesce(%(until)s::timestamptz, 'infinity') GROUP BY what
"""
# The links that have not yet been looked at, brought an edit and been brought one since a moment.
_STILL = """
SELECT l.vendor FROM gateway.wedding_vendor_integrations l
WHERE l.wedding_id = ANY(%(weddings)s::uuid[]) AND NOT (
    coalesce(l.scanned_at > %(since)s, false)
    AND EXISTS (SELECT FROM gateway.vendor_activities a
                WHERE a.link_id = l.id AND a.created_at > %(since)s AND a.state <> 'pending')
    AND (l.vendor = 'stripe' OR EXISTS ( -- where people pay, planners seldom have anything to write
        SELECT FROM gateway.vendor_deliveries d WHERE d.link_id = l.id AND d.confirmed_at > %(since)s)))
"""
_CALLS = """
SELECT change, result, trace_parent FROM gateway.vendor_activities WHERE wedding_id = %s ORDER BY created_at
"""
_SENT = "SELECT change, trace_parent FROM gateway.vendor_activities WHERE link_id = %s"
_PROJECTED = "SELECT item_id::text, sequence FROM gateway.canonical_items WHERE wedding_id = %s"
_ITEMS = "SELECT state FROM gateway.canonical_items WHERE wedding_id = %s"
_RECORDS = """
SELECT item_id::text, record_id FROM gateway.shadow_items
WHERE link_id = %s AND kind = %s AND record_id IS NOT NULL AND NOT gone
"""
_STORY = """
SELECT 'shadow', kind, record_id, gone::text, generation, updated_at FROM gateway.shadow_items
WHERE link_id = %(link)s AND item_id = %(item)s
UNION ALL
SELECT 'intent', kind, id::text, state, 0, created_at FROM gateway.delivery_intents
WHERE link_id = %(link)s AND item_id = %(item)s
UNION ALL
SELECT 'change', state, record_id, reason, generation, created_at FROM gateway.vendor_activities
WHERE link_id = %(link)s AND item_id = %(item)s
UNION ALL
SELECT 'delivery', state, '', reason, sequence, accepted_at FROM gateway.vendor_deliveries
WHERE link_id = %(link)s AND item_id = %(item)s
ORDER BY 6
"""
_WEBHOOKS = "SELECT id::text, state, reason FROM gateway.webhook_log WHERE id = ANY(%s::uuid[])"
_UNSEEN = """
SELECT count(*) FROM gateway.wedding_vendor_integrations
WHERE wedding_id = ANY(%s::uuid[]) AND NOT coalesce(scanned_at > %s AND poll_failures = 0, false)
"""
_PUSHLESS = """
SELECT count(*) FROM gateway.wedding_vendor_integrations
WHERE wedding_id = ANY(%s::uuid[]) AND vendor = ANY(%s) AND pushed_until IS NULL
"""


@dataclass(frozen=True)
class GatewaySite:
    """What the faults of a gateway happen to."""

    bench: Bench
    sync: Replica
    gateway: Replica
    relay_port: int
    """Where vendors reach the gateway: through a relay of each trial's own."""
    http_port: int

    @property
    def keys(self) -> Keys:
        """Return the keys callers have."""
        return self.bench.keys

    @property
    def evidence(self) -> Evidence:
        """Return its database's view."""
        return Evidence(self.bench.second_database.admin_url)

    def is_quiet(self, weddings: Sequence[str]) -> bool:
        """Say whether nothing is under way any more."""
        return not self.under_way(weddings)

    def under_way(self, weddings: Sequence[str], until: datetime | None = None) -> dict[str, int]:
        """Return what is under way and has been since a moment, and how much of it."""
        return dict(self.evidence.rows(_UNDER_WAY, weddings=list(weddings), until=until))

    def still(self, weddings: Sequence[str], since: datetime) -> list[str]:
        """Return the vendors with whom nothing was exchanged since a moment."""
        return [vendor for (vendor,) in self.evidence.rows(_STILL, weddings=list(weddings), since=since)]

    def unseen(self, weddings: Sequence[str], since: datetime) -> int:
        """Return how many links were not looked at since a moment."""
        return int(self.evidence.rows(_UNSEEN, list(weddings), since)[0][0])

    def pushless(self, weddings: Sequence[str], vendors: Sequence[str]) -> int:
        """Return how many links of these vendors cannot be told yet of what moves."""
        return int(self.evidence.rows(_PUSHLESS, list(weddings), list(vendors))[0][0])

    def own_calls(self, wedding: str, log: Sequence[Entry]) -> Sequence[Call]:
        """Return what the gateway committed to send, and what it stored of the answers."""
        return [
            Call(
                client="the gateway",
                wedding_id=wedding,
                changes=[load_change(unpack(change), trace_parent=trace_parent)],
                invoked=0.0,
                results=[load_result(unpack(result))] if result is not None else None,
            )
            for change, result, trace_parent in self.evidence.rows(_CALLS, wedding)
        ]

    def require_told(self, wedding: str, log: Sequence[Entry], collisions: Collection[Place]) -> None:
        """Fail unless the gateway has every item's last change, and collisions were told of."""
        last = {entry.change.item_id: entry.sequence for entry in log}
        assert dict(self.evidence.rows(_PROJECTED, wedding)) == last
        assert set(collisions) <= self.bench.receivers.collisions(wedding)

    @contextlib.contextmanager
    def inbox_closed(self) -> Iterator[None]:
        """Let nothing be written into the webhook log for a while, as if its disk were full."""
        self.evidence.run("REVOKE INSERT ON gateway.webhook_log FROM wedsync_gateway")
        try:
            yield
        finally:
            self.evidence.run("GRANT INSERT ON gateway.webhook_log TO wedsync_gateway")

    def leases_end(self) -> None:
        """Let the time of everything that a dead gateway had taken on be over."""
        leases_end(self.bench.second_database.admin_url)

    def age(self, hours: int) -> None:
        """Let everything the gateway knows of deliveries be older by so many hours."""
        self.evidence.run(
            f"UPDATE gateway.delivery_keys SET created_at = created_at - interval '{hours:d} hours'"
        )

    def now(self) -> datetime:
        """Return the database's time."""
        moment: datetime = self.evidence.rows("SELECT clock_timestamp()")[0][0]
        return moment

    def items(self, wedding: str) -> list[ItemState]:
        """Return the gateway's projection of the wedding."""
        return [load_item(unpack(state)) for (state,) in self.evidence.rows(_ITEMS, wedding)]

    def records(self, link_id: str, kind: str) -> list[tuple[str, str]]:
        """Return each item that a vendor has, and the record it has it in."""
        return [(item, record) for item, record in self.evidence.rows(_RECORDS, link_id, kind)]

    def sent(self, link_id: str) -> list[Change]:
        """Return every change that came of a link."""
        return [load_change(unpack(c), trace_parent=t) for c, t in self.evidence.rows(_SENT, link_id)]

    def story(self, link_id: str, item_id: str) -> list[tuple[Any, ...]]:
        """Return what is known of an item at a vendor, for people who wonder."""
        return self.evidence.rows(_STORY, link=link_id, item=item_id)

    def webhooks(self, ids: Collection[str]) -> dict[str, tuple[str, str]]:
        """Return state and reason of each of these webhooks that is known."""
        return {name: (state, reason) for name, state, reason in self.evidence.rows(_WEBHOOKS, sorted(ids))}


@contextlib.contextmanager
def running_site(bench: Bench) -> Iterator[GatewaySite]:
    """Run the gateway and its sync service."""
    gateway_port, http_port, relay_port = free_port(), free_port(), free_port()
    vault = bench.home / "secrets" / "vault.json"
    create_keys_file(vault)
    to_gateway = {**_database(bench, "sync"), "WEDSYNC_GATEWAY_TARGET": f"127.0.0.1:{gateway_port}"}
    to_gateway["WEDSYNC_SYNC_MAX_ACTORS"] = "4"
    with bench.replica("sync-of-gateway", **to_gateway) as sync:
        settings = {
            **_database(bench, "gateway"),
            "WEDSYNC_SYNC_TARGET": sync.target,
            "WEDSYNC_HEALTH_TARGET": f"127.0.0.1:{free_port()}",
            "WEDSYNC_VAULT_KEYS_FILE": str(vault),
            "WEDSYNC_GRPC_PORT": str(gateway_port),
            "WEDSYNC_HTTP_PORT": str(http_port),
            "WEDSYNC_PUBLIC_URL": f"http://127.0.0.1:{relay_port}",
            "WEDSYNC_VENDOR_PRIVATE_ADDRESSES": "true",
            "WEDSYNC_VENDOR_POLL_SECONDS": str(POLL_SECONDS),
            "WEDSYNC_VENDOR_REQUESTS_PER_SECOND": "1000",
            "WEDSYNC_VENDOR_TIMEOUT_SECONDS": str(TIMEOUT_SECONDS),
        }
        with bench.replica("gateway", program="gateway", **settings) as gateway:
            yield GatewaySite(bench, sync, gateway, relay_port, http_port)


def _database(bench: Bench, service: str) -> dict[str, str]:
    database = bench.second_database
    return {
        "WEDSYNC_DATABASE_URL": database.app_url(service),
        "WEDSYNC_WORKER_DATABASE_URL": database.worker_url(service),
    }
