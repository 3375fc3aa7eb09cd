"""Accounts at vendors and their links to weddings; when each link is polled, and from where."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import orjson
from sqlalchemy import RowMapping, TextClause, text

from services.gateway.records import NOBODY, Busy, Link, Owner, Shadow
from services.gateway.store.deliveries import deliver_everything
from services.gateway.store.leases import INTENT_SECONDS, shadow_from
from services.gateway.store.secrets import keep_secret
from services.gateway.store.sql import first, passed_by, rows
from services.gateway.vendors.port import Account
from wedsync.model.ids import new_id
from wedsync.runtime.database import Database
from wedsync.runtime.vault import Vault

POLL_LEASE_SECONDS = 60
"""One poller per link across replicas; after a crash the link is polled again then."""

WEBHOOK_SECRET = "webhook_secret"  # noqa: S105 - a name
"""The credential that is no credential: what the vendor signs its webhooks with."""

ENDPOINT_KEY_BYTES = 24
"""192 bits of chance in every webhook address: the address is the proof."""

_NEVER = datetime.max.replace(tzinfo=UTC)

_CONNECT = text("""
    INSERT INTO gateway.vendor_integrations
        (organization_id, id, vendor, base_url, credentials, request_id)
    VALUES (:organization_id, :id, :vendor, :base_url, :credentials, :request_id)
    ON CONFLICT (organization_id, request_id) DO NOTHING RETURNING id, created_at
""")
_ENDPOINT = text("""
    INSERT INTO gateway.endpoint_keys (hash, organization_id, integration_id, vendor)
    VALUES (:hash, :organization_id, :id, :vendor)
""")
_INTEGRATIONS = text("""
    SELECT organization_id, id, vendor, base_url, credentials, request_id, created_at,
           coalesce((SELECT reconnect FROM gateway.access_tokens t WHERE t.organization_id = i.organization_id
                       AND t.integration_id = i.id), '') AS reconnect
    FROM gateway.vendor_integrations i
    WHERE (CAST(:id AS uuid) IS NULL OR id = :id)
      AND (CAST(:request_id AS uuid) IS NULL OR request_id = :request_id)
      AND (CAST(:after AS uuid) IS NULL OR id > :after)
    ORDER BY id LIMIT :limit
""")
_LINK = text("""
    INSERT INTO gateway.wedding_vendor_integrations
        (organization_id, id, wedding_id, integration_id, vendor, scope, time_zone, request_id)
    VALUES (:organization_id, :id, :wedding_id, :integration_id, :vendor, CAST(:scope AS jsonb), :time_zone,
            :request_id)
    ON CONFLICT (organization_id, request_id) DO NOTHING RETURNING id
""")
_LINKS = text("""
    SELECT organization_id, id, wedding_id, integration_id, vendor, scope, time_zone, state, reason,
           created_at, scanned_at, cursor, poll_failures, next_poll_at, push_reason, pushed_until
    FROM gateway.wedding_vendor_integrations
    WHERE (CAST(:id AS uuid) IS NULL OR id = :id)
      AND (CAST(:request_id AS uuid) IS NULL OR request_id = :request_id)
      AND (CAST(:wedding_id AS uuid) IS NULL OR wedding_id = :wedding_id)
      AND (CAST(:integration_id AS uuid) IS NULL OR integration_id = :integration_id)
    ORDER BY created_at, id
""")
_STATE = text("""
    UPDATE gateway.wedding_vendor_integrations
    SET state = :state, reason = :reason, next_poll_at = clock_timestamp(), push_due_at = clock_timestamp()
    WHERE id = :id
""")
_POLL_NOW = text("""
    UPDATE gateway.wedding_vendor_integrations SET next_poll_at = clock_timestamp() WHERE id = :id
""")
_CLAIM = text("""
    UPDATE gateway.wedding_vendor_integrations l
    SET poll_lease_until = clock_timestamp() + make_interval(secs => :seconds)
    FROM (SELECT organization_id, id FROM gateway.wedding_vendor_integrations
          WHERE state = 'active' AND next_poll_at <= clock_timestamp()
            AND poll_lease_until < clock_timestamp()
            AND integration_id <> ALL(CAST(:integrations AS uuid[]))
            AND vendor <> ALL(CAST(:vendors AS text[]))
          ORDER BY next_poll_at LIMIT :limit FOR UPDATE SKIP LOCKED) due
    WHERE l.id = due.id AND l.organization_id = due.organization_id
    RETURNING l.organization_id, l.id
""")
_GIVE_BACK = text("""
    UPDATE gateway.wedding_vendor_integrations SET poll_lease_until = '-infinity'
    WHERE organization_id = :organization_id AND id = :id
""")
_LATER = text("""
    UPDATE gateway.wedding_vendor_integrations
    SET next_poll_at = clock_timestamp() + make_interval(secs => :seconds), poll_lease_until = '-infinity'
    WHERE id = :id
""")
_CURSOR = text("""
    UPDATE gateway.wedding_vendor_integrations
    SET cursor = CAST(:cursor AS jsonb), scanned_at = clock_timestamp(), poll_failures = 0,
        next_poll_at = CASE WHEN next_poll_at > :due_at THEN next_poll_at
                            ELSE clock_timestamp() + make_interval(secs => :seconds) END,
        poll_lease_until = '-infinity'
    WHERE id = :id
""")
_FAILED = text("""
    UPDATE gateway.wedding_vendor_integrations
    SET cursor = CASE WHEN :lost THEN NULL ELSE cursor END, poll_failures = poll_failures + 1,
        next_poll_at = clock_timestamp() + make_interval(secs => :seconds), poll_lease_until = '-infinity'
    WHERE id = :id
""")
_LOG = text("""
    INSERT INTO gateway.integration_sync_log
        (id, started_at, ended_at, organization_id, link_id, records, looked_at, error)
    VALUES (:id, :started_at, clock_timestamp(), :organization_id, :link_id, :records, :looked_at, :error)
""")
_PRESENT = text("""
    SELECT record_id FROM gateway.shadow_items
    WHERE link_id = :link_id AND record_id IS NOT NULL AND NOT gone
""")
_AWAITED = text("""
    SELECT EXISTS (SELECT 1 FROM gateway.delivery_intents
                   WHERE link_id = :link_id AND item_id = :item_id AND kind = 'create'
                     AND state IN ('open', 'superseded')
                     AND created_at > clock_timestamp() - make_interval(secs => :recent)) AS awaited
""")
_SHADOW_COLUMNS = "link_id, item_id, record_id, kind, version, generation, gone, fields"
_BY_RECORDS = text(f"""
    SELECT {_SHADOW_COLUMNS} FROM gateway.shadow_items
    WHERE link_id = :link_id AND record_id = ANY(:record_ids)
""")
_BY_ITEM = text(f"""
    SELECT {_SHADOW_COLUMNS} FROM gateway.shadow_items WHERE link_id = :link_id AND item_id = :item_id
""")


@dataclass(frozen=True, slots=True, kw_only=True)
class Integration:
    """One organization's account at one vendor, its credentials still sealed."""

    integration_id: str
    organization_id: str
    vendor: str
    base_url: str
    created_at: datetime
    sealed: bytes
    reconnect: str = ""
    """Why the account must be connected again; empty while it works."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DueLink:
    """A link that is to be polled, and where its last scan ended."""

    link: Link
    cursor: Mapping[str, Any] | None
    failures: int = 0
    """How often in a row the scan has failed."""
    due_at: datetime = _NEVER
    """When it became due; whoever asks for a look after that gets one more."""

    @property
    def owner(self) -> Owner:
        """Whose it is."""
        return Owner(integration_id=self.link.integration_id, vendor=self.link.vendor)


class LinkStore:
    """Integrations and links."""

    def __init__(self, database: Database, worker: Database, vault: Vault) -> None:
        self._database, self._worker, self._vault = database, worker, vault

    async def connect(
        self, *, organization_id: str, request_id: str, vendor: str, account: Account, endpoint_key: str
    ) -> Integration:
        """Keep an account and its endpoint; the same request again returns the first one's."""
        # The key in the webhook address is kept too, sealed, so that a repeated request gets the same answer.
        credentials = {k: v for k, v in account.credentials.items() if k != WEBHOOK_SECRET}
        secrets = {"credentials": credentials, "endpoint_key": endpoint_key}
        sealed = self._vault.encrypt(orjson.dumps(secrets), account.integration_id)
        named = {"organization_id": organization_id, "id": account.integration_id, "vendor": vendor}
        async with self._database.transaction(organizations=[organization_id]) as conn:
            created = await first(
                conn,
                _CONNECT,
                {**named, "base_url": account.base_url, "credentials": sealed, "request_id": request_id},
            )
            if created is not None:
                await conn.execute(_ENDPOINT, {**named, "hash": endpoint_hash(endpoint_key)})
                if secret := account.credentials.get(WEBHOOK_SECRET):
                    place = {"organization_id": organization_id, "integration_id": account.integration_id}
                    await keep_secret(conn, self._vault, {**place, "id": request_id}, secret)
            [row] = await rows(conn, _INTEGRATIONS, _filter(request_id=request_id))
        return _integration(row)

    async def integration(self, organizations: Sequence[str], integration_id: str) -> Integration | None:
        """Return one integration if one of the organizations owns it."""
        async with self._database.transaction(organizations=organizations) as conn:
            row = await first(conn, _INTEGRATIONS, _filter(id=integration_id))
        return _integration(row) if row else None

    async def integrations(self, organization_id: str, *, after: str | None, limit: int) -> list[Integration]:
        """Return a page of the organization's integrations."""
        async with self._database.transaction(organizations=[organization_id]) as conn:
            return [
                _integration(row)
                for row in await rows(conn, _INTEGRATIONS, _filter(after=after, limit=limit))
            ]

    def account(self, integration: Integration) -> Account:
        """Return the account with its credentials opened."""
        return Account(
            integration_id=integration.integration_id,
            base_url=integration.base_url,
            credentials=self._opened(integration)["credentials"],
        )

    def endpoint_key(self, integration: Integration) -> str:
        """Return the secret part of the integration's webhook address."""
        return str(self._opened(integration)["endpoint_key"])

    async def link(self, link: Link, *, request_id: str, trace_parent: str) -> Link:
        """Join an integration to a wedding and make every item due for it; idempotent by request."""
        async with self._database.transaction(
            organizations=[link.organization_id], weddings=[link.wedding_id]
        ) as conn:
            created = await first(conn, _LINK, {**_link_row(link), "request_id": request_id})
            if created is not None:
                await deliver_everything(
                    conn,
                    organization_id=link.organization_id,
                    wedding_id=link.wedding_id,
                    link_id=link.link_id,
                    trace_parent=trace_parent,
                )
            [row] = await rows(conn, _LINKS, _link_filter(request_id=request_id))
        return _link(row)

    async def links(
        self,
        organizations: Sequence[str],
        *,
        wedding_id: str | None = None,
        integration_id: str | None = None,
    ) -> list[Link]:
        """Return the links of a wedding or of an integration, oldest first."""
        async with self._database.transaction(organizations=organizations) as conn:
            wanted = _link_filter(wedding_id=wedding_id, integration_id=integration_id)
            return [_link(row) for row in await rows(conn, _LINKS, wanted)]

    async def find_link(self, organizations: Sequence[str], link_id: str) -> Link | None:
        """Return one link if one of the organizations owns it."""
        async with self._database.transaction(organizations=organizations) as conn:
            row = await first(conn, _LINKS, _link_filter(id=link_id))
        return _link(row) if row else None

    async def set_state(self, link: Link, *, active: bool, reason: str = "") -> None:
        """Pause a link, saying why, or let it go on."""
        state = "active" if active else "paused"
        async with self._database.transaction(organizations=[link.organization_id]) as conn:
            await conn.execute(_STATE, {"id": link.link_id, "state": state, "reason": reason})

    async def poll_now(self, link: Link) -> None:
        """Make the link due for a look."""
        async with self._database.transaction(organizations=[link.organization_id]) as conn:
            await conn.execute(_POLL_NOW, {"id": link.link_id})

    async def claim_polls(self, limit: int, busy: Busy = NOBODY) -> list[DueLink]:
        """Claim links that are due for a look; none of those who are busy."""
        values = {"limit": limit, "seconds": POLL_LEASE_SECONDS, **passed_by(busy)}
        async with self._worker.transaction() as conn:
            claimed = await rows(conn, _CLAIM, values)
        organizations = {str(row["organization_id"]) for row in claimed}
        due = []
        if claimed:
            async with self._database.transaction(organizations=organizations) as conn:
                for claim in claimed:
                    [row] = await rows(conn, _LINKS, _link_filter(id=claim["id"]))
                    due.append(_due_link(row))
        return due

    async def give_back_polls(self, due: Sequence[DueLink]) -> None:
        """Let links be claimed again at once."""
        places = [{"organization_id": d.link.organization_id, "id": d.link.link_id} for d in due]
        async with self._worker.transaction() as conn:
            await conn.execute(_GIVE_BACK, places)

    async def poll_later(self, link: Link, *, seconds: float) -> None:
        """Look again later, although nothing was wrong with the last look."""
        async with self._database.transaction(organizations=[link.organization_id]) as conn:
            await conn.execute(_LATER, {"id": link.link_id, "seconds": seconds})

    async def polled(
        self, link: Link, *, cursor: Mapping[str, Any], seconds: float, due_at: datetime = _NEVER
    ) -> None:
        """Keep where the scan ended, and when to look again: at once if asked to since it became due."""
        values = {"id": link.link_id, "due_at": due_at, "seconds": seconds}
        async with self._database.transaction(organizations=[link.organization_id]) as conn:
            await conn.execute(_CURSOR, {**values, "cursor": orjson.dumps(dict(cursor)).decode()})

    async def poll_failed(self, link: Link, *, seconds: float, cursor_lost: bool) -> None:
        """Look again later, from the start if the cursor is lost."""
        async with self._database.transaction(organizations=[link.organization_id]) as conn:
            values = {"id": link.link_id, "seconds": seconds, "lost": cursor_lost}
            await conn.execute(_FAILED, values)

    async def log_scan(
        self, link: Link, *, started_at: datetime, records: int, looked_at: int, error: str = ""
    ) -> None:
        """Note a scan that saw something or failed."""
        async with self._database.transaction(organizations=[link.organization_id]) as conn:
            await conn.execute(
                _LOG,
                {
                    "id": new_id(),
                    "started_at": started_at,
                    "organization_id": link.organization_id,
                    "link_id": link.link_id,
                    "records": records,
                    "looked_at": looked_at,
                    "error": error,
                },
            )

    async def item_of(self, link: Link, record_id: str) -> str | None:
        """Return the item that a vendor record stands for, None for a record not seen before."""
        shadow = (await self.shadows(link, [record_id])).get(record_id)
        return shadow.item_id if shadow else None

    async def record_of(self, link: Link, item_id: str) -> Shadow | None:
        """Return the shadow of an item at this link, None if the vendor was never told of it."""
        return next(iter(await self._shadows(link, _BY_ITEM, {"item_id": item_id})), None)

    async def awaits_create(self, link: Link, item_id: str) -> bool:
        """Say whether a create of ours for the item may have been carried out although no answer came."""
        values = {"link_id": link.link_id, "item_id": item_id, "recent": INTENT_SECONDS}
        async with self._database.transaction(organizations=[link.organization_id]) as conn:
            [row] = await rows(conn, _AWAITED, values)
        return bool(row["awaited"])

    async def shadows(self, link: Link, record_ids: Sequence[str]) -> dict[str, Shadow]:
        """Return the shadows of these records by record id, for a comparison without a lease."""
        found = await self._shadows(link, _BY_RECORDS, {"record_ids": list(record_ids)})
        return {shadow.record_id: shadow for shadow in found if shadow.record_id}

    async def present(self, link: Link) -> frozenset[str]:
        """Return the records that the vendor has, as far as we know."""
        async with self._database.transaction(organizations=[link.organization_id]) as conn:
            found = await rows(conn, _PRESENT, {"link_id": link.link_id})
        return frozenset(row["record_id"] for row in found)

    def _opened(self, integration: Integration) -> Mapping[str, Any]:
        opened = self._vault.decrypt(integration.sealed, integration.integration_id)
        secrets: Mapping[str, Any] = orjson.loads(opened)
        return secrets

    async def _shadows(self, link: Link, query: TextClause, values: Mapping[str, Any]) -> list[Shadow]:
        async with self._database.transaction(organizations=[link.organization_id]) as conn:
            return [shadow_from(row) for row in await rows(conn, query, {"link_id": link.link_id, **values})]


def new_endpoint_key() -> str:
    """Return a fresh unguessable key for a webhook address."""
    return secrets.token_urlsafe(ENDPOINT_KEY_BYTES)


def webhook_path(vendor: str, endpoint_key: str) -> str:
    """Return where an integration's webhooks are sent, below the gateway's own address."""
    return f"/api/integrations/webhooks/{vendor}/{endpoint_key}"


def endpoint_hash(key: str) -> bytes:
    """Return what is stored of an endpoint key; it has too much chance in it to need salt."""
    return hashlib.sha256(key.encode()).digest()


def _filter(**wanted: Any) -> dict[str, Any]:
    return {"id": None, "request_id": None, "after": None, "limit": 1, **wanted}


def _link_filter(**wanted: Any) -> dict[str, Any]:
    return {"id": None, "request_id": None, "wedding_id": None, "integration_id": None, **wanted}


def _link_row(link: Link) -> dict[str, Any]:
    return {
        "organization_id": link.organization_id,
        "id": link.link_id,
        "wedding_id": link.wedding_id,
        "integration_id": link.integration_id,
        "vendor": link.vendor,
        "scope": orjson.dumps(dict(link.scope)).decode(),
        "time_zone": link.time_zone,
    }


def _integration(row: RowMapping) -> Integration:
    return Integration(
        integration_id=str(row["id"]),
        organization_id=str(row["organization_id"]),
        vendor=row["vendor"],
        base_url=row["base_url"],
        created_at=row["created_at"],
        sealed=bytes(row["credentials"]),
        reconnect=row["reconnect"],
    )


def _due_link(row: RowMapping) -> DueLink:
    return DueLink(
        link=_link(row),
        cursor=row["cursor"],
        failures=row["poll_failures"],
        due_at=row["next_poll_at"],
    )


def _link(row: RowMapping) -> Link:
    return Link(
        link_id=str(row["id"]),
        organization_id=str(row["organization_id"]),
        wedding_id=str(row["wedding_id"]),
        integration_id=str(row["integration_id"]),
        vendor=row["vendor"],
        scope=row["scope"],
        time_zone=row["time_zone"],
        active=row["state"] == "active",
        reason=row["reason"],
        created_at=row["created_at"],
        scanned_at=row["scanned_at"],
        push_reason=row["push_reason"],
        pushed_until=row["pushed_until"],
    )
