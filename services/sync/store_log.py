"""The log of a wedding: its entries, and where in it a moment is.

A time becomes a sequence by halving the log: sequences are dense, and commit times never fall.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Generic, TypeVar

from sqlalchemy import text
from sqlalchemy.engine import Row
from sqlalchemy.ext.asyncio import AsyncConnection

from services.sync.filters import EVERYTHING, LogFilter
from services.sync.records import LogEntry, LogPage, Moment
from services.sync.store import opened, seeing
from wedsync.errors import FieldViolation, InvalidRequest
from wedsync.model.changes import Priority
from wedsync.model.codec import load_change, load_result
from wedsync.runtime.database import Database

_Entry = TypeVar("_Entry")

CHUNK = 500
"""Rows fetched at once while a page is looked for."""

_MOST_LOOKED_AT = 5_000  # for one page: some 200 ms
_MOST_BYTES = 2 << 20  # of a page, as it is stored; a message holds 4 MiB
_END = 1 << 62
_INSTANT = timedelta(microseconds=1)

_SEQUENCE = text("SELECT sequence FROM sync.weddings WHERE wedding_id = :wedding")
_SEQUENCE_AT = text("""
    WITH RECURSIVE halved (low, high) AS (
        SELECT 0::bigint, sequence FROM sync.weddings WHERE wedding_id = :wedding
      UNION ALL
        SELECT CASE WHEN c.committed_at <= :moment THEN c.sequence ELSE h.low END,
               CASE WHEN c.committed_at <= :moment THEN h.high ELSE c.sequence - 1 END
        FROM halved h CROSS JOIN LATERAL (
            SELECT sequence, committed_at FROM sync.changes
            WHERE wedding_id = :wedding AND sequence = (h.low + h.high + 1) / 2 LIMIT 1) c
        WHERE h.low < h.high)
    SELECT low FROM halved WHERE low = high
""")
_CHANGES = """
    SELECT sequence, committed_at, trace_parent, body FROM sync.changes
    WHERE wedding_id = :wedding AND sequence > :after AND sequence <= :last{item}
    ORDER BY sequence LIMIT :limit
"""
_ALL_CHANGES = text(_CHANGES.format(item=""))
_ITEM_CHANGES = text(_CHANGES.format(item=" AND item_id = CAST(:item AS uuid)"))
_GROWN = text("""
    SELECT c.* FROM unnest(CAST(:weddings AS uuid[]), CAST(:after AS bigint[])) AS w (wedding_id, sequence)
    CROSS JOIN LATERAL (
        SELECT wedding_id, sequence, committed_at, trace_parent, body FROM sync.changes
        WHERE wedding_id = w.wedding_id AND sequence > w.sequence ORDER BY sequence LIMIT :limit) c
    ORDER BY c.wedding_id, c.sequence
""")
_MEMBERS = text(
    "SELECT wedding_id, array_agg(organization_id) FROM sync.wedding_members"
    " WHERE wedding_id = ANY(CAST(:weddings AS uuid[])) GROUP BY wedding_id"
)
_KNOWN = text("SELECT result FROM sync.change_keys WHERE wedding_id = :wedding AND change_id = :change")


class LogStore:
    """Logs; `viewer` is as `store.seeing` has it."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def sequence(self, wedding_id: str, *, viewer: str | None) -> int:
        """Return the last sequence."""
        async with seeing(self._database, wedding_id, viewer) as connection:
            return await present_sequence(connection, wedding_id)

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

    async def list_changes(
        self, wedding_id: str, *, viewer: str | None, after: int, limit: int, only: LogFilter = EVERYTHING
    ) -> LogPage:
        """Return the log after a sequence."""
        page = Page[LogEntry](limit)
        async with seeing(self._database, wedding_id, viewer) as connection:
            first, last = await _bounds(connection, wedding_id, only)
            reached = max(after, first)
            rows = _log(
                connection, wedding_id, only, reached, last, CHUNK if only.looks_inside else limit + 1
            )
            async with aclosing(rows) as found:
                async for row in found:
                    if page.full:
                        return LogPage(entries=page.found, next_after=reached)
                    entry, reached = _entry(row), row.sequence
                    page.look(entry if only.fits(entry) else None, row.body)
        return LogPage(entries=page.found)


class Page(Generic[_Entry]):
    """A page while it is looked for."""

    def __init__(self, limit: int) -> None:
        self.found: list[_Entry] = []
        self._limit, self._looked_at, self._size = limit, 0, 0

    @property
    def full(self) -> bool:
        """Whether it is full, or was looked for long enough."""
        return (
            len(self.found) == self._limit or self._looked_at == _MOST_LOOKED_AT or self._size > _MOST_BYTES
        )

    def look(self, entry: _Entry | None, stored: bytes | None) -> None:
        """Take an entry that fits, None for one that does not."""
        self._looked_at += 1
        if entry is not None:
            self.found.append(entry)
            self._size += len(stored or b"")


async def present_sequence(connection: AsyncConnection, wedding_id: str) -> int:
    """Return the last sequence of the log."""
    return int((await connection.execute(_SEQUENCE, {"wedding": wedding_id})).scalar_one())


async def sequence_of(connection: AsyncConnection, wedding_id: str, at: Moment) -> int:
    """Return the sequence of a moment; a time that is still to come is now."""
    if isinstance(at, datetime):
        asked = {"wedding": wedding_id, "moment": at}
        return int((await connection.execute(_SEQUENCE_AT, asked)).scalar_one())
    require_past("as_of.sequence", at, await present_sequence(connection, wedding_id))
    return at


def require_past(field: str, sequence: int, present: int) -> None:
    """Raise `InvalidRequest` for a sequence that is still to come."""
    if sequence > present:
        reason = f"is {sequence}, and the log reaches to {present}"
        raise InvalidRequest(violations=[FieldViolation(field, reason)])


async def _bounds(connection: AsyncConnection, wedding_id: str, only: LogFilter) -> tuple[int, int]:
    """Return after which sequence what is asked for begins, and with which it ends."""
    if only.change_id is not None:
        asked = {"wedding": wedding_id, "change": only.change_id}
        known = (await connection.execute(_KNOWN, asked)).scalar()
        if known is not None:
            sequence = load_result(opened(known)).sequence
            return sequence - 1, sequence
    first = await sequence_of(connection, wedding_id, only.start - _INSTANT) if only.start else 0
    last = await sequence_of(connection, wedding_id, only.end - _INSTANT) if only.end else _END
    return first, last


async def _log(
    connection: AsyncConnection, wedding_id: str, only: LogFilter, after: int, last: int, chunk: int
) -> AsyncGenerator[Row[Any], None]:
    query = _ITEM_CHANGES if only.item_id else _ALL_CHANGES
    asked = {"wedding": wedding_id, "item": only.item_id, "last": last, "limit": chunk}
    while True:
        rows = (await connection.execute(query, {**asked, "after": after})).all()
        for row in rows:
            yield row
        if len(rows) < chunk:
            return
        after = rows[-1].sequence


def _entry(row: Row[Any]) -> LogEntry:
    record = opened(row.body)
    change = load_change(record["change"], priority=Priority(record["lane"]), trace_parent=row.trace_parent)
    return LogEntry(
        change=change, result=replace(load_result(record["result"]), committed_at=row.committed_at)
    )
