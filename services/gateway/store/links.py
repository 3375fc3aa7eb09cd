"""Accounts at vendors, their links to weddings, and what each link knows of the vendor's records."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

import orjson
from sqlalchemy import TextClause, text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.gateway.deliver.retry import RECONNECT
from services.gateway.records import Link, Shadow
from services.gateway.store.blobs import pack_fields
from services.gateway.store.deliveries import deliver_everything
from services.gateway.store.integration_rows import (
    INTEGRATIONS,
    INTEGRATIONS_BY_ID,
    Integration,
    integration_filter,
    integration_from,
)
from services.gateway.store.leases import INTENT_SECONDS, shadow_from
from services.gateway.store.link_rows import (
    LINKS,
    LINKS_BY_ID,
    LINKS_OF_ACCOUNT,
    link_filter,
    link_from,
)
from services.gateway.store.secrets import keep_secret
from services.gateway.store.sql import asked_rows, first, records, rows
from services.gateway.vendors.port import Account
from wedsync.errors import FieldViolation, InvalidRequest, StaleRevision
from wedsync.runtime.database import Database
from wedsync.runtime.round_trip import Statement
from wedsync.runtime.together import Together
from wedsync.runtime.vault import Vault

WEBHOOK_SECRET = "webhook_secret"  # noqa: S105 - a name
"""The credential that is no credential: what the vendor signs its webhooks with."""

ENDPOINT_KEY_BYTES = 24
"""192 bits of chance in every webhook address: the address is the proof."""


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
_UPDATE = text("""
    UPDATE gateway.vendor_integrations
    SET base_url = :base_url, credentials = :credentials, version = version + 1,
        updated_at = clock_timestamp()
    WHERE id = :id AND version = :version AND disconnected_at IS NULL
    RETURNING id
""")
_RECONNECTED = text("""
    UPDATE gateway.wedding_vendor_integrations
    SET state = 'active', reason = '', poll_failures = 0, next_poll_at = clock_timestamp(),
        push_due_at = clock_timestamp()
    WHERE integration_id = :id AND state = 'paused' AND position(:cure in reason) > 0
""")
# What was given up for the old credentials is tried with the new ones.
_DUE_AGAIN = text("""
    UPDATE gateway.vendor_deliveries
    SET state = 'due', attempts = 0, not_before = '-infinity', closed_at = NULL
    WHERE state = 'parked' AND cause = 'auth' AND link_id IN
        (SELECT id FROM gateway.wedding_vendor_integrations WHERE integration_id = :id AND state <> 'ended')
""")
_LINK = text("""
    INSERT INTO gateway.wedding_vendor_integrations
        (organization_id, id, wedding_id, integration_id, vendor, scope, time_zone, request_id)
    VALUES (:organization_id, :id, :wedding_id, :integration_id, :vendor, CAST(:scope AS jsonb), :time_zone,
            :request_id)
    ON CONFLICT (organization_id, request_id) DO NOTHING RETURNING id
""")
# What people say is the same on both sides; an item that is none of the wedding's is not taken.
_EXPECT = text("""
    INSERT INTO gateway.shadow_items
        (organization_id, wedding_id, link_id, item_id, kind, fields, expected_record)
    SELECT :organization_id, c.wedding_id, CAST(:link_id AS uuid), c.item_id, c.kind, :fields, :record_id
    FROM gateway.canonical_items c
    WHERE c.wedding_id = CAST(:wedding_id AS uuid) AND c.item_id = CAST(:item_id AS uuid)
""")
_SET_STATE = """
    UPDATE gateway.wedding_vendor_integrations
    SET state = :state, reason = :reason, next_poll_at = clock_timestamp(),
        push_due_at = clock_timestamp(), poll_token = NULL, poll_lease_until = '-infinity',
        deletes_believed_until = CASE WHEN :believing > 0
            THEN clock_timestamp() + make_interval(secs => :believing) ELSE deletes_believed_until END
    WHERE id = :id AND state <> 'ended'
"""
_STATE = text(_SET_STATE)
# Credentials that were refused say nothing of the ones that were entered meanwhile.
_REFUSED = text(f"""
    {_SET_STATE} AND :version = (SELECT i.version FROM gateway.vendor_integrations i
                                 WHERE i.organization_id = :organization_id AND i.id = :integration_id)
    RETURNING id
""")
_DOUBT = text(f"""
    {_SET_STATE} AND coalesce(deletes_believed_until, '-infinity') < clock_timestamp() RETURNING id
""")
_POLL_NOW = text("""
    UPDATE gateway.wedding_vendor_integrations SET next_poll_at = clock_timestamp() WHERE id = :id
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
_SHADOW_COLUMNS = "link_id, item_id, record_id, kind, version, generation, gone, fields, expected_record"
_BY_RECORDS = Statement(
    "shadows_by_record",
    f"""
    SELECT {_SHADOW_COLUMNS} FROM gateway.shadow_items
    JOIN {asked_rows("link_id uuid, record_id text")} AS a USING (link_id, record_id)
""",
)
_BY_EXPECTATION = text(f"""
    SELECT {_SHADOW_COLUMNS} FROM gateway.shadow_items
    WHERE link_id = :link_id AND expected_record = :record_id AND record_id IS NULL
""")
_BY_ITEM = text(f"""
    SELECT {_SHADOW_COLUMNS} FROM gateway.shadow_items WHERE link_id = :link_id AND item_id = :item_id
""")


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """A vendor's record and the item of the wedding that are one and the same."""

    record_id: str
    item_id: str


@dataclass(frozen=True, slots=True)
class _Account:
    """Whose links are asked for, and of which scope."""

    organization_id: str
    integration_id: str
    key: str | None
    value: str | None


_Wanted = tuple[Sequence[str], str]
"""The id of what is asked for, and the organizations one of which must own it."""
_Owned = TypeVar("_Owned", Link, Integration)


class LinkStore:
    """Integrations and links."""

    def __init__(self, database: Database, vault: Vault) -> None:
        self._database, self._vault = database, vault
        self._find = Together[_Wanted, Link | None](self._find_all)
        self._integration = Together[_Wanted, Integration | None](self._integrations_all)
        self._of_account = Together[_Account, list[Link]](self._of_accounts)
        self._item_of = Together[tuple[Link, str], str | None](self._items_of)

    async def connect(
        self, *, organization_id: str, request_id: str, vendor: str, account: Account, endpoint_key: str
    ) -> Integration:
        """Keep an account and its endpoint; the same request again returns the first one's."""
        # The key in the webhook address is kept too, sealed, so that a repeated request gets the same answer.
        sealed = self._sealed(account, endpoint_key)
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
            [row] = await rows(conn, INTEGRATIONS, integration_filter(request_id=request_id))
        return integration_from(row)

    async def update(self, before: Integration, account: Account) -> Integration:
        """Keep an account's new credentials and address; links that waited for new ones go on.

        Raises `StaleRevision` if somebody else changed or disconnected it meanwhile.
        """
        place = {"id": before.integration_id, "version": before.version, "cure": RECONNECT}
        sealed = self._sealed(account, self.endpoint_key(before))
        async with self._database.transaction(organizations=[before.organization_id]) as conn:
            values = {**place, "base_url": account.base_url, "credentials": sealed}
            if await first(conn, _UPDATE, values) is None:
                raise StaleRevision("The integration was changed meanwhile; read it again and retry.")
            await conn.execute(_RECONNECTED, place)
            await conn.execute(_DUE_AGAIN, place)
            [row] = await rows(conn, INTEGRATIONS, integration_filter(id=before.integration_id))
        return integration_from(row)

    async def integration(self, organizations: Sequence[str], integration_id: str) -> Integration | None:
        """Return one integration if one of the organizations owns it."""
        return await self._integration((organizations, integration_id))

    async def integrations(self, organization_id: str, *, after: str | None, limit: int) -> list[Integration]:
        """Return a page of the organization's integrations."""
        async with self._database.transaction(organizations=[organization_id]) as conn:
            return [
                integration_from(row)
                for row in await rows(conn, INTEGRATIONS, integration_filter(after=after, limit=limit))
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

    async def link(
        self, link: Link, *, request_id: str, trace_parent: str, matches: Sequence[Match] = ()
    ) -> Link:
        """Join an integration to a wedding and make every item due for it; idempotent by request.

        Raises `InvalidRequest` if a match names no item of the wedding.
        """
        async with self._database.transaction(
            organizations=[link.organization_id], weddings=[link.wedding_id]
        ) as conn:
            created = await first(conn, _LINK, {**_link_row(link), "request_id": request_id})
            if created is not None:
                for match in matches:
                    await _expect(conn, link, match)
                await _everything(conn, link, trace_parent)
            [row] = await rows(conn, LINKS, link_filter(request_id=request_id))
        made = link_from(row)
        if made.ended:
            return made
        # Once more: a commit that was handed over meanwhile did not know the link, nor this link the commit.
        async with self._database.transaction(
            organizations=[made.organization_id], weddings=[made.wedding_id]
        ) as conn:
            await _everything(conn, made, trace_parent)
        return made

    async def links(
        self,
        organizations: Sequence[str],
        *,
        wedding_id: str | None = None,
        integration_id: str | None = None,
    ) -> list[Link]:
        """Return the links of a wedding or of an integration, oldest first."""
        async with self._database.transaction(organizations=organizations) as conn:
            wanted = link_filter(wedding_id=wedding_id, integration_id=integration_id)
            return [link_from(row) for row in await rows(conn, LINKS, wanted)]

    async def links_of(
        self, organization_id: str, integration_id: str, scope: tuple[str, str] | None = None
    ) -> list[Link]:
        """Return the links of an account, oldest first; with `scope`, key and value, those that have it."""
        key, value = scope or (None, None)
        return await self._of_account(_Account(organization_id, integration_id, key, value))

    async def find_link(self, organizations: Sequence[str], link_id: str) -> Link | None:
        """Return one link if one of the organizations owns it."""
        return await self._find((tuple(organizations), link_id))

    async def set_state(self, link: Link, *, active: bool, reason: str = "", believing: float = 0.0) -> None:
        """Pause a link, saying why, or let it go on; whoever is looking at it meanwhile stops.

        One that has ended stays so. For the seconds `believing` deletes of any number are believed.
        """
        state = "active" if active else "paused"
        values = {"id": link.link_id, "state": state, "reason": reason, "believing": believing}
        async with self._database.transaction(organizations=[link.organization_id]) as conn:
            await conn.execute(_STATE, values)

    async def refuse_account(self, link: Link, reason: str) -> bool:
        """Pause a link whose vendor refused its account, unless that was connected again meanwhile.

        Return whether it is paused.
        """
        values = {"id": link.link_id, "state": "paused", "reason": reason, "believing": 0.0}
        account = {
            "organization_id": link.organization_id,
            "integration_id": link.integration_id,
            "version": link.account_version,
        }
        async with self._database.transaction(organizations=[link.organization_id]) as conn:
            return await first(conn, _REFUSED, {**values, **account}) is not None

    async def doubt_deletes(self, link: Link, reason: str) -> bool:
        """Pause a link for its many deletes, unless a person has said meanwhile that they are meant.

        Return whether it is paused.
        """
        values = {"id": link.link_id, "state": "paused", "reason": reason, "believing": 0.0}
        async with self._database.transaction(organizations=[link.organization_id]) as conn:
            return await first(conn, _DOUBT, values) is not None

    async def poll_now(self, link: Link) -> None:
        """Make the link due for a look."""
        async with self._database.transaction(organizations=[link.organization_id]) as conn:
            await conn.execute(_POLL_NOW, {"id": link.link_id})

    async def item_of(self, link: Link, record_id: str) -> str | None:
        """Return the item that a vendor record stands for, None for a record not seen before."""
        return await self._item_of((link, record_id))

    async def record_of(self, link: Link, item_id: str) -> Shadow | None:
        """Return the shadow of an item at this link, None if the vendor was never told of it."""
        return next(iter(await self._shadows(link, _BY_ITEM, {"item_id": item_id})), None)

    async def item_expecting(self, link: Link, record_id: str) -> str | None:
        """Return the item that people said this record is, until one was seen for it."""
        found = await self._shadows(link, _BY_EXPECTATION, {"record_id": record_id})
        return found[0].item_id if found else None

    async def awaits_create(self, link: Link, item_id: str) -> bool:
        """Say whether a create of ours for the item may have been carried out although no answer came."""
        values = {"link_id": link.link_id, "item_id": item_id, "recent": INTENT_SECONDS}
        async with self._database.transaction(organizations=[link.organization_id]) as conn:
            [row] = await rows(conn, _AWAITED, values)
        return bool(row["awaited"])

    async def shadows(self, link: Link, record_ids: Sequence[str]) -> dict[str, Shadow]:
        """Return the shadows of these records by record id, for a comparison without a lease."""
        found = await self._by_records([(link, record_id) for record_id in record_ids])
        return {shadow.record_id: shadow for shadow in found if shadow.record_id}

    async def present(self, link: Link) -> frozenset[str]:
        """Return the records that the vendor has, as far as we know."""
        async with self._database.transaction(organizations=[link.organization_id]) as conn:
            found = await rows(conn, _PRESENT, {"link_id": link.link_id})
        return frozenset(row["record_id"] for row in found)

    async def _find_all(self, wanted: Sequence[_Wanted]) -> list[Link | Exception | None]:
        found = await self._by_id(LINKS_BY_ID, wanted)
        return _allowed(wanted, {link.link_id: link for link in map(link_from, found)})

    async def _integrations_all(self, wanted: Sequence[_Wanted]) -> list[Integration | Exception | None]:
        found = map(integration_from, await self._by_id(INTEGRATIONS_BY_ID, wanted))
        return _allowed(wanted, {integration.integration_id: integration for integration in found})

    async def _by_id(self, statement: Statement, wanted: Sequence[_Wanted]) -> list[dict[str, Any]]:
        organizations = {organization for allowed, _ in wanted for organization in allowed}
        names = {"organizations": list(organizations), "ids": list({one for _, one in wanted})}
        [found] = await self._database.run((statement, names), organizations=organizations)
        return found

    async def _of_accounts(self, wanted: Sequence[_Account]) -> list[list[Link] | Exception]:
        places = {account: place for place, account in enumerate(dict.fromkeys(wanted))}
        rows_ = records({"place": place, **asdict(account)} for account, place in places.items())
        organizations = {account.organization_id for account in places}
        [found] = await self._database.run((LINKS_OF_ACCOUNT, rows_), organizations=organizations)
        of_place: dict[int, list[Link]] = {}
        for row in found:
            of_place.setdefault(row["place"], []).append(link_from(row))
        return [of_place.get(places[account], []) for account in wanted]

    async def _items_of(self, wanted: Sequence[tuple[Link, str]]) -> list[str | Exception | None]:
        shadows = await self._by_records(wanted)
        items = {(shadow.link_id, shadow.record_id): shadow.item_id for shadow in shadows}
        return [items.get((link.link_id, record_id)) for link, record_id in wanted]

    async def _by_records(self, wanted: Sequence[tuple[Link, str]]) -> list[Shadow]:
        places = records({"link_id": link.link_id, "record_id": record_id} for link, record_id in wanted)
        organizations = {link.organization_id for link, _ in wanted}
        [found] = await self._database.run((_BY_RECORDS, places), organizations=organizations)
        return [shadow_from(row) for row in found]

    def _sealed(self, account: Account, endpoint_key: str) -> bytes:
        credentials = {k: v for k, v in account.credentials.items() if k != WEBHOOK_SECRET}
        secrets = {"credentials": credentials, "endpoint_key": endpoint_key}
        return self._vault.encrypt(orjson.dumps(secrets), account.integration_id)

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


def _allowed(wanted: Sequence[_Wanted], found: Mapping[str, _Owned]) -> list[_Owned | Exception | None]:
    """Return for each who asks what he asks for, if one of his organizations owns it."""
    return [
        one if (one := found.get(name)) is not None and one.organization_id in allowed else None
        for allowed, name in wanted
    ]


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


async def _everything(conn: AsyncConnection, link: Link, trace_parent: str) -> None:
    await deliver_everything(
        conn,
        organization_id=link.organization_id,
        wedding_id=link.wedding_id,
        link_id=link.link_id,
        trace_parent=trace_parent,
    )


async def _expect(conn: AsyncConnection, link: Link, match: Match) -> None:
    place = {"organization_id": link.organization_id, "wedding_id": link.wedding_id, "link_id": link.link_id}
    names = {"record_id": match.record_id, "item_id": match.item_id, "fields": pack_fields({})}
    if (await conn.execute(_EXPECT, {**place, **names})).rowcount != 1:
        problem = f"names {match.item_id}, which is no item of the wedding"
        raise InvalidRequest(violations=[FieldViolation("matches", problem)])
