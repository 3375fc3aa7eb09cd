"""One vendor record at a time: its lease, its shadow, our intents, and what is committed under it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.gateway.records import Intent, IntentKind, RecordKey, Shadow
from services.gateway.store.blobs import pack_fields, unpack, unpack_fields
from services.gateway.store.sql import first, rows
from wedsync.errors import StaleRevision
from wedsync.model.changes import ItemState
from wedsync.model.codec import load_item
from wedsync.model.ids import new_id
from wedsync.model.items import ItemKind
from wedsync.runtime.database import Database

LEASE_SECONDS = 20
"""Longer than the slowest vendor call; what a crash leaves behind is free again after it."""

INTENT_SECONDS = 600
"""How long a write of unknown outcome may still land at the vendor; then an equal value is an edit."""

_LEASE = text("""
    INSERT INTO gateway.shadow_items AS s
        (organization_id, wedding_id, link_id, item_id, kind, fields, lease_token, lease_until)
    VALUES (:organization_id, :wedding_id, :link_id, :item_id, :kind, :fields, :token,
            clock_timestamp() + make_interval(secs => :seconds))
    ON CONFLICT (link_id, item_id) DO UPDATE
        SET lease_token = excluded.lease_token, lease_until = excluded.lease_until
        WHERE s.lease_until < clock_timestamp()
    RETURNING link_id, item_id, kind, record_id, version, generation, gone, fields, expected_record
""")
_PEEK = text("""
    SELECT link_id, item_id, kind, record_id, version, generation, gone, fields, expected_record
    FROM gateway.shadow_items WHERE link_id = :link_id AND item_id = :item_id
""")
_INTENTS = text("""
    SELECT id, kind, fields FROM gateway.delivery_intents
    WHERE link_id = :link_id AND item_id = :item_id
      AND state IN ('open', 'superseded') AND created_at > clock_timestamp() - make_interval(secs => :recent)
    ORDER BY created_at
""")
_CONTEXT = text("""
    SELECT EXISTS (SELECT 1 FROM gateway.vendor_activities
                   WHERE link_id = :link_id AND item_id = :item_id
                     AND (state = 'pending' OR sequence > coalesce(
                         (SELECT sequence FROM gateway.canonical_items
                          WHERE wedding_id = :wedding_id AND item_id = :item_id), 0))) AS pending,
           (SELECT state FROM gateway.canonical_items
            WHERE wedding_id = :wedding_id AND item_id = :item_id) AS item,
           coalesce((SELECT sequence FROM gateway.canonical_items
                     WHERE wedding_id = :wedding_id AND item_id = :item_id), 0) AS sequence
""")
_SAVE = text("""
    UPDATE gateway.shadow_items
    SET kind = :kind, record_id = :record_id, version = :version, generation = :generation, gone = :gone,
        fields = :fields, updated_at = clock_timestamp()
    WHERE link_id = :link_id AND item_id = :item_id AND generation = :expected AND lease_token = :token
""")
_RELEASE = text("""
    UPDATE gateway.shadow_items SET lease_token = NULL, lease_until = '-infinity'
    WHERE link_id = :link_id AND item_id = :item_id AND lease_token = :token
""")
_SUPERSEDE = text("""
    UPDATE gateway.delivery_intents SET state = 'superseded'
    WHERE link_id = :link_id AND item_id = :item_id AND state = 'open'
""")
_INTEND = text("""
    INSERT INTO gateway.delivery_intents (organization_id, id, link_id, item_id, kind, fields, state)
    SELECT :organization_id, :id, :link_id, :item_id, :kind, :fields, 'open'
    FROM gateway.shadow_items WHERE link_id = :link_id AND item_id = :item_id AND lease_token = :token
      AND lease_until > clock_timestamp()
    RETURNING id
""")
_CONFIRM = text("""
    UPDATE gateway.delivery_intents SET state = 'confirmed', closed_at = clock_timestamp()
    WHERE link_id = :link_id AND item_id = :item_id AND id = ANY(:ids)
""")


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """A leased record and everything needed to decide about it."""

    key: RecordKey
    token: str
    shadow: Shadow
    intents: Sequence[Intent]
    pending: bool
    """A change of this record is on its way, or its commit is not in the projection yet: what it did is
    not known, and a write would undo it."""
    item: ItemState | None
    sequence: int
    """The newest commit the projection of the item has seen."""


class RecordLeases:
    """Serialises inbound comparison and outbound write of each vendor record, across replicas."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def take(self, key: RecordKey, kind: ItemKind) -> Held | None:
        """Lease the record; None while somebody else has it."""
        token = new_id()
        async with self._scope(key) as conn:
            row = await first(conn, _LEASE, {**_names(key), **_fresh(kind, token)})
            return await _held(conn, key, token, shadow_from(row)) if row is not None else None

    async def peek(self, key: RecordKey, kind: ItemKind) -> Held:
        """Return the same without the lease, to see what would be decided; nothing can be saved with it."""
        async with self._scope(key) as conn:
            row = await first(conn, _PEEK, _names(key))
            unknown = Shadow(link_id=key.link_id, item_id=key.item_id, kind=kind)
            return await _held(conn, key, "", shadow_from(row) if row is not None else unknown)

    async def release(self, held: Held) -> None:
        """Give the record back; harmless after the lease ran out."""
        async with self._scope(held.key) as conn:
            await conn.execute(_RELEASE, {**_names(held.key), "token": held.token})

    async def intend(self, held: Held, intent: Intent) -> None:
        """Commit what is about to be written. Raises `StaleRevision` if the lease is lost."""
        async with self._scope(held.key) as conn:
            await conn.execute(_SUPERSEDE, _names(held.key))
            values = {"id": intent.intent_id, "kind": intent.kind, "fields": pack_fields(intent.values)}
            written = await conn.execute(
                _INTEND,
                {
                    **_names(held.key),
                    "organization_id": held.key.organization_id,
                    "token": held.token,
                    **values,
                },
            )
            if written.first() is None:
                raise StaleRevision("The lease of the vendor record ran out.")

    def _scope(self, key: RecordKey) -> Any:
        return self._database.transaction(organizations=[key.organization_id], weddings=[key.wedding_id])


async def _held(conn: AsyncConnection, key: RecordKey, token: str, shadow: Shadow) -> Held:
    intents = await rows(conn, _INTENTS, {**_names(key), "recent": INTENT_SECONDS})
    [context] = await rows(conn, _CONTEXT, _names(key))
    return Held(
        key=key,
        token=token,
        shadow=shadow,
        intents=[_intent(intent) for intent in intents],
        pending=context["pending"],
        item=load_item(unpack(context["item"])) if context["item"] is not None else None,
        sequence=context["sequence"],
    )


async def save_shadow(conn: AsyncConnection, held: Held, shadow: Shadow) -> None:
    """Write the shadow by compare-and-set on its generation. Raises `StaleRevision` if it moved."""
    saved = await conn.execute(
        _SAVE,
        {
            **_names(held.key),
            "token": held.token,
            "expected": held.shadow.generation,
            "kind": shadow.kind,
            "record_id": shadow.record_id,
            "version": shadow.version,
            "generation": shadow.generation,
            "gone": shadow.gone,
            "fields": pack_fields(shadow.fields),
        },
    )
    if saved.rowcount != 1:
        raise StaleRevision("The vendor record's shadow moved on.")


async def confirm_intents(conn: AsyncConnection, held: Held, intent_ids: Sequence[str]) -> None:
    """Close intents whose values the vendor has just shown."""
    if intent_ids:
        await conn.execute(_CONFIRM, {**_names(held.key), "ids": list(intent_ids)})


async def release(conn: AsyncConnection, held: Held) -> None:
    """Give the record back within the caller's transaction."""
    await conn.execute(_RELEASE, {**_names(held.key), "token": held.token})


def _names(key: RecordKey) -> dict[str, Any]:
    return {
        "organization_id": key.organization_id,
        "wedding_id": key.wedding_id,
        "link_id": key.link_id,
        "item_id": key.item_id,
    }


def _fresh(kind: ItemKind, token: str) -> dict[str, Any]:
    return {"kind": kind, "fields": pack_fields({}), "token": token, "seconds": LEASE_SECONDS}


def shadow_from(row: Any) -> Shadow:
    """Return the shadow a row holds."""
    return Shadow(
        link_id=str(row["link_id"]),
        item_id=str(row["item_id"]),
        kind=ItemKind(row["kind"]),
        record_id=row["record_id"],
        version=row["version"],
        generation=row["generation"],
        gone=row["gone"],
        fields=unpack_fields(row["fields"]),
        expected=row["expected_record"] if row["record_id"] is None else None,
    )


def _intent(row: Any) -> Intent:
    return Intent(intent_id=str(row["id"]), kind=IntentKind(row["kind"]), values=unpack_fields(row["fields"]))
