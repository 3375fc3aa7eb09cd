"""What the service reads and writes in Postgres itself.

The log is in `store_log.py`, the past in `store_history.py`; what an owner writes in `actor_store.py`.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any

import orjson
from sqlalchemy import text
from sqlalchemy.engine import Row
from sqlalchemy.ext.asyncio import AsyncConnection

from services.sync.lanes import Calendar
from services.sync.pause import paused_because
from services.sync.records import ItemPage, WeddingRecord
from services.sync.visibility import Sight
from wedsync.errors import AlreadyExists, NotFound, UnknownWedding
from wedsync.model.changes import ItemState
from wedsync.model.codec import load_item
from wedsync.model.items import ItemKind
from wedsync.runtime.database import Database
from wedsync.runtime.envelope import seal, unseal
from wedsync.runtime.round_trip import Statement

FIRST_ID = "00000000-0000-0000-0000-000000000000"

_IS_MEMBER = text(
    "SELECT FROM sync.wedding_members WHERE wedding_id = :wedding AND organization_id = :viewer"
)
_CALENDARS = Statement(
    "calendars",
    "SELECT a.wedding_id, a.viewer, w.day, w.time_zone"
    " FROM unnest(%(weddings)s::uuid[], %(viewers)s::text[]) AS a (wedding_id, viewer)"
    " JOIN sync.weddings w USING (wedding_id)"
    " WHERE a.viewer IS NULL OR EXISTS (SELECT FROM sync.wedding_members m"
    "   WHERE m.wedding_id = a.wedding_id AND m.organization_id = a.viewer)",
)
_EXISTS = text("SELECT FROM sync.weddings WHERE wedding_id = :wedding")

_CREATE = text(
    "INSERT INTO sync.weddings (wedding_id, title, day, time_zone) VALUES (:wedding, :title, :day, :zone)"
    " ON CONFLICT DO NOTHING RETURNING created_at"
)
_ADD_MEMBER = text(
    "INSERT INTO sync.wedding_members (wedding_id, organization_id, role, created_at)"
    " VALUES (:wedding, :organization, :role, :created_at)"
)
WEDDINGS = text(
    "SELECT w.wedding_id, w.title, w.day, w.time_zone, w.sequence, w.created_at,"
    # The wedding's own time also moves when a change is refused or does nothing.
    " (SELECT committed_at FROM sync.changes WHERE wedding_id = w.wedding_id AND sequence = w.sequence)"
    "   AS committed_at,"
    " ARRAY(SELECT ARRAY[m.organization_id, m.role] FROM sync.wedding_members m"
    "       WHERE m.wedding_id = w.wedding_id ORDER BY m.organization_id) AS members,"
    " (SELECT state FROM sync.items WHERE wedding_id = w.wedding_id AND item_id = w.wedding_id) AS own"
    " FROM sync.weddings w WHERE w.wedding_id = ANY(CAST(:weddings AS uuid[]))"
    " ORDER BY w.created_at, w.wedding_id"
)
_MINE = text(
    "SELECT wedding_id FROM sync.wedding_members WHERE organization_id = :organization"
    " AND (created_at, wedding_id) > (CAST(:after AS timestamptz), CAST(:after_id AS uuid))"
    " ORDER BY created_at, wedding_id LIMIT :limit"
)
_ITEM = text("SELECT state FROM sync.items WHERE wedding_id = :wedding AND item_id = :item")
_ITEMS = text(
    "SELECT state FROM sync.items WHERE wedding_id = :wedding AND item_id > CAST(:after AS uuid)"
    f" AND kind <> '{ItemKind.WEDDING}' AND (:deleted OR NOT deleted) ORDER BY item_id LIMIT :limit"
)

# Ray may call an owner dead that only cannot be reached: without the mark it would come back and renew.
# Owners that vanished with their service leave a row behind, which nobody else would remove.
_END_LEASE = text(
    "WITH forgotten AS (DELETE FROM sync.owners"
    "  WHERE lease_until < clock_timestamp() - interval '1 day' AND owner_id <> :owner)"
    " UPDATE sync.owners SET revoked = true, lease_until = least(lease_until, clock_timestamp())"
    " WHERE owner_id = :owner"
)

_ADDRESS = text("SELECT address FROM sync.owners WHERE owner_id = :owner")
_REVOKE_LEASE = text("UPDATE sync.owners SET revoked = true WHERE owner_id = :owner")


class SyncStore:
    """Weddings and items as they are, each seen only by the wedding's members."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create_wedding(self, wedding: WeddingRecord, *, viewer: str) -> WeddingRecord:
        """Create the wedding, or return it as it is. Raises `AlreadyExists` if its id means another one."""
        ids = [wedding.wedding_id]
        async with self._database.transaction(organizations=[viewer], weddings=ids) as connection:
            created_at = (await connection.execute(_CREATE, _columns(wedding))).scalar()
            if created_at is not None:
                await connection.execute(_ADD_MEMBER, _members(wedding, created_at))
            found = wedding_of((await connection.execute(WEDDINGS, {"weddings": ids})).one())
        if created_at is None and not found.same_content(wedding):
            raise AlreadyExists("A wedding of this id exists already and is another one.")
        return found

    async def get_wedding(self, wedding_id: str, *, viewer: str | None) -> WeddingRecord:
        """Return the wedding. Raises `UnknownWedding`."""
        async with self._seeing(wedding_id, viewer) as connection:
            return wedding_of((await connection.execute(WEDDINGS, {"weddings": [wedding_id]})).one())

    async def list_weddings(
        self, *, organization_id: str, after: tuple[datetime, str] | None, limit: int
    ) -> list[WeddingRecord]:
        """Return the organization's weddings, oldest first, after a place in that order."""
        moment, last = (after[0].isoformat(), after[1]) if after else ("-infinity", FIRST_ID)
        asked = {"organization": organization_id, "after": moment, "after_id": last, "limit": limit}
        async with self._database.transaction(organizations=[organization_id]) as connection:
            ids = [str(wedding_id) for wedding_id in (await connection.execute(_MINE, asked)).scalars()]
        async with self._database.transaction(weddings=ids) as connection:
            return [wedding_of(row) for row in await connection.execute(WEDDINGS, {"weddings": ids})]

    async def calendars(self, asked: Sequence[Sight]) -> Mapping[Sight, Calendar]:
        """Return when those weddings take place that their viewers may see."""
        weddings, viewers = [wedding for wedding, _ in asked], [viewer for _, viewer in asked]
        asking = {"weddings": weddings, "viewers": viewers}
        rows = await self._database.exchange(_CALENDARS, asking, weddings=weddings)
        return {(str(w), viewer): Calendar(day=day, time_zone=zone) for w, viewer, day, zone in rows}

    async def get_item(self, wedding_id: str, item_id: str, *, viewer: str | None) -> ItemState:
        """Return the item, deleted or not. Raises `NotFound`, `UnknownWedding`."""
        async with self._seeing(wedding_id, viewer) as connection:
            asked = {"wedding": wedding_id, "item": item_id}
            state = (await connection.execute(_ITEM, asked)).scalar()
        if state is None:
            raise NotFound("There is no such item in this wedding.")
        return item_of(state)

    async def list_items(
        self, wedding_id: str, *, viewer: str | None, after: str, deleted: bool, limit: int
    ) -> ItemPage:
        """Return items in the order of their ids, after one of them."""
        async with self._seeing(wedding_id, viewer) as connection:
            asked = {"wedding": wedding_id, "after": after, "deleted": deleted, "limit": limit + 1}
            found = [item_of(state) for state in (await connection.execute(_ITEMS, asked)).scalars()]
        page, more = found[:limit], found[limit:]
        return ItemPage(items=page, next_after=page[-1].item_id if more else "")

    async def end_lease(self, owner_id: str) -> None:
        """End the lease of an owner that is said to be dead: now, and for good should it live."""
        async with self._database.transaction() as connection:
            await connection.execute(_END_LEASE, {"owner": owner_id})

    async def revoke_lease(self, owner_id: str) -> None:
        """Have the lease of an owner that nobody reaches run out, whatever the owner does."""
        async with self._database.transaction() as connection:
            await connection.execute(_REVOKE_LEASE, {"owner": owner_id})

    async def address_of(self, owner_id: str) -> str | None:
        """Return where the owner listens, None where nobody knows it."""
        async with self._database.transaction() as connection:
            address: str | None = (await connection.execute(_ADDRESS, {"owner": owner_id})).scalar()
        return address

    def _seeing(
        self, wedding_id: str, viewer: str | None
    ) -> contextlib.AbstractAsyncContextManager[AsyncConnection]:
        return seeing(self._database, wedding_id, viewer)


@contextlib.asynccontextmanager
async def seeing(database: Database, wedding_id: str, viewer: str | None) -> AsyncIterator[AsyncConnection]:
    """Open a transaction on one wedding; nothing is read before its visibility was checked.

    `viewer` is the organization that asks; None is a service of our own, which sees every wedding.
    """
    organizations = [viewer] if viewer else []
    asked = {"wedding": wedding_id, "viewer": viewer}
    async with database.transaction(organizations=organizations, weddings=[wedding_id]) as connection:
        visible = await connection.execute(_IS_MEMBER if viewer else _EXISTS, asked)
        if visible.first() is None:
            raise UnknownWedding
        yield connection


def _columns(wedding: WeddingRecord) -> dict[str, Any]:
    return {
        "wedding": wedding.wedding_id,
        "title": seal(wedding.title.encode()),
        "day": wedding.day,
        "zone": wedding.time_zone,
    }


def _members(wedding: WeddingRecord, created_at: datetime) -> list[dict[str, Any]]:
    return [
        {
            "wedding": wedding.wedding_id,
            "organization": organization,
            "role": role,
            "created_at": created_at,
        }
        for organization, role in wedding.members
    ]


def wedding_of(row: Row[Any]) -> WeddingRecord:
    """Return the wedding of a row of `WEDDINGS`."""
    own = item_of(row.own) if row.own is not None else None
    return WeddingRecord(
        wedding_id=str(row.wedding_id),
        title=unseal(row.title).payload.decode(),
        day=row.day,
        time_zone=row.time_zone,
        members=tuple((organization, role) for organization, role in row.members),
        sequence=row.sequence,
        committed_at=row.committed_at,
        created_at=row.created_at,
        paused=paused_because(own),
    )


@lru_cache(maxsize=1024)
def item_of(sealed: bytes) -> ItemState:
    """Return the item in an envelope; one that was read before is not read anew."""
    return load_item(opened(sealed))


def opened(sealed: bytes) -> Mapping[str, Any]:
    """Return the record in an envelope."""
    record: Mapping[str, Any] = orjson.loads(unseal(sealed).payload)
    return record
