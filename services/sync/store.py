"""What the service reads and writes in Postgres itself; what an owner writes is in `actor_store.py`."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy import text
from sqlalchemy.engine import Row
from sqlalchemy.ext.asyncio import AsyncConnection

from services.sync.facts import Destination, Fact
from services.sync.records import Claim, LogEntry, WeddingRecord
from wedsync.errors import AlreadyExists, NotFound, UnknownWedding
from wedsync.model.changes import ItemState, Priority
from wedsync.model.codec import load_change, load_item, load_result
from wedsync.runtime.database import Database
from wedsync.runtime.envelope import seal, unseal

_FIRST_ID = "00000000-0000-0000-0000-000000000000"

_IS_MEMBER = text(
    "SELECT FROM sync.wedding_members WHERE wedding_id = :wedding AND organization_id = :viewer"
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
_WEDDINGS = text(
    "SELECT w.wedding_id, w.title, w.day, w.time_zone, w.sequence, w.committed_at, w.created_at,"
    " ARRAY(SELECT ARRAY[m.organization_id, m.role] FROM sync.wedding_members m"
    "       WHERE m.wedding_id = w.wedding_id ORDER BY m.organization_id) AS members"
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
    " AND (:deleted OR NOT deleted) ORDER BY item_id LIMIT :limit"
)
_CHANGES = (
    "SELECT sequence, committed_at, trace_parent, body FROM sync.changes"
    " WHERE wedding_id = :wedding AND sequence > :after{item} ORDER BY sequence LIMIT :limit"
)
_ALL_CHANGES = text(_CHANGES.format(item=""))
_ITEM_CHANGES = text(_CHANGES.format(item=" AND item_id = CAST(:item AS uuid)"))
_GROWN = text(
    "SELECT c.* FROM unnest(CAST(:weddings AS uuid[]), CAST(:after AS bigint[])) AS w (wedding_id, sequence)"
    " CROSS JOIN LATERAL (SELECT wedding_id, sequence, committed_at, trace_parent, body FROM sync.changes"
    "   WHERE wedding_id = w.wedding_id AND sequence > w.sequence ORDER BY sequence LIMIT :limit) c"
    " ORDER BY c.wedding_id, c.sequence"
)
_MEMBERS = text(
    "SELECT wedding_id, array_agg(organization_id) FROM sync.wedding_members"
    " WHERE wedding_id = ANY(CAST(:weddings AS uuid[])) GROUP BY wedding_id"
)
_SEQUENCE = text("SELECT sequence FROM sync.weddings WHERE wedding_id = :wedding")

# Owners that vanished with their service leave a row behind, which nobody else would remove.
_END_LEASE = text(
    "DELETE FROM sync.owners WHERE owner_id = :owner OR lease_until < clock_timestamp() - interval '1 day'"
)

# By what is due, never by a remembered id: ids become visible in another order than they were given.
_CLAIM = text(
    "UPDATE sync.outbox o SET attempts = o.attempts + 1,"
    "   claimed_until = clock_timestamp() + make_interval(secs => :seconds)"
    " FROM (SELECT wedding_id, fact_id FROM sync.outbox"
    "       WHERE destination = :destination AND not_before <= clock_timestamp()"
    "         AND claimed_until <= clock_timestamp()"
    "       ORDER BY not_before LIMIT :limit FOR UPDATE SKIP LOCKED) due"
    " WHERE o.wedding_id = due.wedding_id AND o.fact_id = due.fact_id"
    " RETURNING o.wedding_id, o.fact_id, o.attempts"
)
_LISTED = "(SELECT * FROM unnest(CAST(:weddings AS uuid[]), CAST(:facts AS uuid[])))"
_POSTPONE = text(
    "UPDATE sync.outbox SET claimed_until = '-infinity',"
    " not_before = clock_timestamp() + make_interval(secs => :seconds)"
    f" WHERE (wedding_id, fact_id) IN {_LISTED}"
)
_FACTS = text(
    "SELECT wedding_id, fact_id, sequence, destination, body, trace_parent, committed_at FROM sync.outbox"
    f" WHERE (wedding_id, fact_id) IN {_LISTED} ORDER BY wedding_id, sequence"
)
_DONE = text(f"DELETE FROM sync.outbox WHERE (wedding_id, fact_id) IN {_LISTED}")


class SyncStore:
    """Weddings, items and the log, each seen only by the wedding's members.

    `viewer` is the organization that asks; None is a service of our own, which sees every wedding.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create_wedding(self, wedding: WeddingRecord, *, viewer: str) -> WeddingRecord:
        """Create the wedding, or return it as it is. Raises `AlreadyExists` if its id means another one."""
        ids = [wedding.wedding_id]
        async with self._database.transaction(organizations=[viewer], weddings=ids) as connection:
            created_at = (await connection.execute(_CREATE, _columns(wedding))).scalar()
            if created_at is not None:
                await connection.execute(_ADD_MEMBER, _members(wedding, created_at))
            found = _wedding((await connection.execute(_WEDDINGS, {"weddings": ids})).one())
        if created_at is None and not found.same_content(wedding):
            raise AlreadyExists("A wedding of this id exists already and is another one.")
        return found

    async def get_wedding(self, wedding_id: str, *, viewer: str | None) -> WeddingRecord:
        """Return the wedding. Raises `UnknownWedding`."""
        async with self._seeing(wedding_id, viewer) as connection:
            return _wedding((await connection.execute(_WEDDINGS, {"weddings": [wedding_id]})).one())

    async def list_weddings(
        self, *, organization_id: str, after: tuple[datetime, str] | None, limit: int
    ) -> list[WeddingRecord]:
        """Return the organization's weddings, oldest first, after a place in that order."""
        moment, last = (after[0].isoformat(), after[1]) if after else ("-infinity", _FIRST_ID)
        asked = {"organization": organization_id, "after": moment, "after_id": last, "limit": limit}
        async with self._database.transaction(organizations=[organization_id]) as connection:
            ids = [str(wedding_id) for wedding_id in (await connection.execute(_MINE, asked)).scalars()]
        async with self._database.transaction(weddings=ids) as connection:
            return [_wedding(row) for row in await connection.execute(_WEDDINGS, {"weddings": ids})]

    async def require_visible(self, wedding_id: str, *, viewer: str | None) -> None:
        """Return if the viewer may see the wedding. Raises `UnknownWedding`."""
        async with self._seeing(wedding_id, viewer):
            pass

    async def get_item(self, wedding_id: str, item_id: str, *, viewer: str | None) -> ItemState:
        """Return the item, deleted or not. Raises `NotFound`, `UnknownWedding`."""
        async with self._seeing(wedding_id, viewer) as connection:
            asked = {"wedding": wedding_id, "item": item_id}
            state = (await connection.execute(_ITEM, asked)).scalar()
        if state is None:
            raise NotFound("There is no such item in this wedding.")
        return load_item(_opened(state))

    async def list_items(
        self, wedding_id: str, *, viewer: str | None, after: str, deleted: bool, limit: int
    ) -> list[ItemState]:
        """Return items in the order of their ids, after one of them."""
        async with self._seeing(wedding_id, viewer) as connection:
            asked = {"wedding": wedding_id, "after": after, "deleted": deleted, "limit": limit}
            return [
                load_item(_opened(state)) for state in (await connection.execute(_ITEMS, asked)).scalars()
            ]

    async def list_changes(
        self, wedding_id: str, *, viewer: str | None, after: int, limit: int, item_id: str = ""
    ) -> list[LogEntry]:
        """Return the log after a sequence, optionally of one item only."""
        async with self._seeing(wedding_id, viewer) as connection:
            asked = {"wedding": wedding_id, "after": after, "item": item_id, "limit": limit}
            query = _ITEM_CHANGES if item_id else _ALL_CHANGES
            return [_entry(row) for row in await connection.execute(query, asked)]

    async def sequence(self, wedding_id: str, *, viewer: str | None) -> int:
        """Return the last sequence of the wedding's log."""
        async with self._seeing(wedding_id, viewer) as connection:
            return int((await connection.execute(_SEQUENCE, {"wedding": wedding_id})).scalar_one())

    async def grown(self, after: Mapping[str, int], *, limit: int) -> Mapping[str, Sequence[LogEntry]]:
        """Return, by wedding, the log after its sequence, at most `limit` entries of each."""
        asked = {"weddings": list(after), "after": list(after.values()), "limit": limit}
        found: dict[str, list[LogEntry]] = {}
        async with self._database.transaction(weddings=after) as connection:
            for row in await connection.execute(_GROWN, asked):
                found.setdefault(str(row.wedding_id), []).append(_entry(row))
        return found

    async def members(self, wedding_ids: Sequence[str]) -> Mapping[str, frozenset[str]]:
        """Return the organizations that are members of each wedding."""
        async with self._database.transaction(weddings=wedding_ids) as connection:
            rows = (await connection.execute(_MEMBERS, {"weddings": list(wedding_ids)})).all()
        return {str(wedding_id): frozenset(members) for wedding_id, members in rows}

    async def end_lease(self, owner_id: str) -> None:
        """End the lease of an owner that is known to be dead."""
        async with self._database.transaction() as connection:
            await connection.execute(_END_LEASE, {"owner": owner_id})

    @contextlib.asynccontextmanager
    async def _seeing(self, wedding_id: str, viewer: str | None) -> AsyncIterator[AsyncConnection]:
        """Open a transaction on one wedding; nothing is read before its visibility was checked."""
        organizations = [viewer] if viewer else []
        asked = {"wedding": wedding_id, "viewer": viewer}
        async with self._database.transaction(
            organizations=organizations, weddings=[wedding_id]
        ) as connection:
            visible = await connection.execute(_IS_MEMBER if viewer else _EXISTS, asked)
            if visible.first() is None:
                raise UnknownWedding
            yield connection


class OutboxStore:
    """Facts on their way out. The worker role finds them, and sees no more than whose they are."""

    def __init__(self, database: Database, worker: Database) -> None:
        self._database, self._worker = database, worker

    async def claim(self, destination: Destination, *, limit: int, seconds: float) -> list[Claim]:
        """Take due facts, which nobody else gets for some seconds."""
        asked = {"destination": destination.value, "limit": limit, "seconds": seconds}
        async with self._worker.transaction() as connection:
            rows = (await connection.execute(_CLAIM, asked)).all()
        return [Claim(wedding_id=str(w), fact_id=str(f), attempts=attempts) for w, f, attempts in rows]

    async def load(self, claims: Sequence[Claim]) -> list[Fact]:
        """Return the claimed facts that are still there."""
        async with self._database.transaction(weddings=[c.wedding_id for c in claims]) as connection:
            return [_fact(row) for row in await connection.execute(_FACTS, _keys(claims))]

    async def remove(self, facts: Sequence[Fact]) -> None:
        """Forget facts that were handed over."""
        async with self._database.transaction(weddings=[fact.wedding_id for fact in facts]) as connection:
            await connection.execute(_DONE, _keys(facts))

    async def postpone(self, claims: Sequence[Claim], *, seconds: float) -> None:
        """Give claimed facts back, to be tried again later."""
        async with self._worker.transaction() as connection:
            await connection.execute(_POSTPONE, {"seconds": seconds, **_keys(claims)})


def _keys(rows: Sequence[Claim] | Sequence[Fact]) -> dict[str, list[str]]:
    return {"weddings": [row.wedding_id for row in rows], "facts": [row.fact_id for row in rows]}


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


def _wedding(row: Row[Any]) -> WeddingRecord:
    return WeddingRecord(
        wedding_id=str(row.wedding_id),
        title=unseal(row.title).payload.decode(),
        day=row.day,
        time_zone=row.time_zone,
        members=tuple((organization, role) for organization, role in row.members),
        sequence=row.sequence,
        committed_at=row.committed_at,
        created_at=row.created_at,
    )


def _entry(row: Row[Any]) -> LogEntry:
    record = _opened(row.body)
    change = load_change(record["change"], priority=Priority(record["lane"]), trace_parent=row.trace_parent)
    return LogEntry(
        change=change, result=replace(load_result(record["result"]), committed_at=row.committed_at)
    )


def _fact(row: Row[Any]) -> Fact:
    return Fact(
        fact_id=str(row.fact_id),
        wedding_id=str(row.wedding_id),
        sequence=row.sequence,
        destination=Destination(row.destination),
        body=_opened(row.body),
        trace_parent=row.trace_parent,
        committed_at=row.committed_at,
    )


def _opened(sealed: bytes) -> Mapping[str, Any]:
    record: Mapping[str, Any] = orjson.loads(unseal(sealed).payload)
    return record
