"""A wedding as it was.

An item that has not changed since a sequence is as it is now; of any other the newest change up to then
knows. So looking back costs one step down an index for each item, however long the log is.
"""

from __future__ import annotations

import itertools
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Any

from sqlalchemy import TextClause, text
from sqlalchemy.engine import Row
from sqlalchemy.ext.asyncio import AsyncConnection

from services.sync.pause import paused_because
from services.sync.records import ItemPage, Moment, WeddingRecord
from services.sync.rewind import Rewinding, Versions, too_much
from services.sync.store import FIRST_ID, WEDDINGS, item_of, seeing, wedding_of
from services.sync.store_log import CHUNK, Page, present_sequence, require_past, sequence_of
from wedsync.errors import ChangeIdReused, FailedPrecondition, NotFound
from wedsync.model.changes import ItemState
from wedsync.runtime.database import Database

MOST_AT_ONCE = 1_000
"""Items that are shown together with their wedding."""
MOST_REWOUND = 2_000
"""Items that one rewind looks at."""

_MOST_VERSIONS = 20_000

_COMMITTED_AT = text(
    "SELECT committed_at FROM sync.changes WHERE wedding_id = :wedding AND sequence = :sequence"
)

# `since`: only items that changed after that sequence.
_THEN = """
    SELECT i.item_id, i.revision <= :sequence OR past.sequence IS NOT NULL AS existed,
           CASE WHEN i.revision <= :sequence THEN i.state ELSE past.state END AS state
    FROM (SELECT item_id, revision, state FROM sync.items
          WHERE wedding_id = :wedding AND {items} ORDER BY item_id LIMIT :limit) i
    LEFT JOIN LATERAL (
        SELECT c.sequence, c.state FROM sync.changes c
        WHERE i.revision > :sequence
          AND c.wedding_id = :wedding AND c.item_id = i.item_id AND c.sequence <= :sequence
        ORDER BY c.sequence DESC LIMIT 1) past ON true
    ORDER BY i.item_id
"""
_ITEM_THEN = text(_THEN.format(items="item_id = CAST(:item AS uuid)"))
_ITEMS_THEN = text(_THEN.format(items="item_id > CAST(:after AS uuid) AND item_id <> :wedding"))
_CHANGED_THEN = text(_THEN.format(items="revision > :since AND item_id <> :wedding"))
_BETWEEN = text("""
    SELECT item_id, sequence, state FROM sync.changes
    WHERE wedding_id = :wedding AND item_id = ANY(CAST(:items AS uuid[]))
      AND sequence > :then AND sequence < :now
    ORDER BY item_id, sequence LIMIT :limit
""")
# Rows of the time before states were kept have none.
_KEPT_FROM = text("""
    SELECT max(coalesce(
        (SELECT c.sequence FROM sync.changes c
         WHERE c.wedding_id = :wedding AND c.item_id = i.item_id AND c.sequence > :sequence
           AND c.state IS NOT NULL ORDER BY c.sequence LIMIT 1),
        i.revision))
    FROM sync.items i
    WHERE i.wedding_id = :wedding AND i.revision > :sequence
      AND (SELECT c.state IS NULL FROM sync.changes c
           WHERE c.wedding_id = :wedding AND c.item_id = i.item_id AND c.sequence <= :sequence
           ORDER BY c.sequence DESC LIMIT 1)
""")

_BEGIN_REWIND = text("""
    INSERT INTO sync.rewinds (wedding_id, request_id, fingerprint, sequence)
    SELECT wedding_id, :request, :fingerprint, sequence FROM sync.weddings WHERE wedding_id = :wedding
    ON CONFLICT DO NOTHING
""")
_REWIND = text(
    "SELECT fingerprint, sequence FROM sync.rewinds WHERE wedding_id = :wedding AND request_id = :request"
)


class HistoryStore:
    """Weddings and items as they were; `viewer` is as `store.seeing` has it.

    Whatever looks back raises `FailedPrecondition` where that goes beyond what is kept.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def get_wedding(self, wedding_id: str, *, viewer: str | None, at: Moment) -> WeddingRecord:
        """Return the wedding as it was. Raises `UnknownWedding`."""
        async with seeing(self._database, wedding_id, viewer) as connection:
            sequence = await sequence_of(connection, wedding_id, at)
            asked = {"wedding": wedding_id, "sequence": sequence}
            wedding = wedding_of((await connection.execute(WEDDINGS, {"weddings": [wedding_id]})).one())
            committed_at = (await connection.execute(_COMMITTED_AT, asked)).scalar()
            own = await _item(connection, wedding_id, wedding_id, sequence)
        return replace(wedding, sequence=sequence, committed_at=committed_at, paused=paused_because(own))

    async def get_item(self, wedding_id: str, item_id: str, *, viewer: str | None, at: Moment) -> ItemState:
        """Return the item as it was. Raises `NotFound`, `UnknownWedding`."""
        async with seeing(self._database, wedding_id, viewer) as connection:
            sequence = await sequence_of(connection, wedding_id, at)
            item = await _item(connection, wedding_id, item_id, sequence)
        if item is None:
            raise NotFound("There was no such item in this wedding then.")
        return item

    async def list_items(
        self, wedding_id: str, *, viewer: str | None, at: Moment, after: str, deleted: bool, limit: int
    ) -> ItemPage:
        """Return items as they were, in the order of their ids, after one of them."""
        page, reached = Page[ItemState](limit), after
        async with seeing(self._database, wedding_id, viewer) as connection:
            sequence = await sequence_of(connection, wedding_id, at)
            rows = _items(connection, wedding_id, sequence, after, min(limit + 1, CHUNK))
            async with aclosing(rows) as found:
                async for row in found:
                    if page.full:
                        return ItemPage(items=page.found, next_after=reached)
                    item, reached = item_of(row.state) if row.existed else None, str(row.item_id)
                    page.look(item if item and (deleted or not item.deleted) else None, row.state)
        return ItemPage(items=page.found)

    async def all_items(self, wedding_id: str, *, viewer: str | None, at: Moment) -> list[ItemState]:
        """Return every item that was not deleted. Raises `FailedPrecondition` where they are too many."""
        items: list[ItemState] = []
        page = ItemPage(items=(), next_after=FIRST_ID)
        while page.next_after:
            page = await self.list_items(
                wedding_id,
                viewer=viewer,
                at=at,
                after=page.next_after,
                deleted=False,
                limit=MOST_AT_ONCE + 1 - len(items),
            )
            items += page.items
            if len(items) > MOST_AT_ONCE:
                raise FailedPrecondition(f"The wedding has more than {MOST_AT_ONCE} items; list them.")
        return items

    async def begin_rewind(
        self, wedding_id: str, request_id: str, *, viewer: str | None, then: int, mark: bytes | None
    ) -> int:
        """Return the sequence a rewind begins at: the same for the same request, whatever happens meanwhile.

        Without a mark, which stands for what the request says, nothing is kept. Raises `ChangeIdReused`.
        """
        async with seeing(self._database, wedding_id, viewer) as connection:
            now = await present_sequence(connection, wedding_id)
            require_past("to_sequence", then, now)
            if mark is None:
                return now
            asked = {"wedding": wedding_id, "request": request_id, "fingerprint": mark}
            await connection.execute(_BEGIN_REWIND, asked)
            kept = (await connection.execute(_REWIND, asked)).one()
        if bytes(kept.fingerprint) != mark:
            raise ChangeIdReused("This request_id was used for another rewind; choose a new one.")
        return int(kept.sequence)

    async def versions(self, wedding_id: str, asked: Rewinding, *, viewer: str | None) -> list[Versions]:
        """Return every item that changed since then, as it was from then to now."""
        async with seeing(self._database, wedding_id, viewer) as connection:
            now = await _changed(connection, wedding_id, asked.then, sequence=asked.now)
            then = await _changed(connection, wedding_id, asked.then, sequence=asked.then)
            touched = [item_id for item_id, item in now.items() if asked.touches(item)]
            between = {} if asked.of_everybody else await _between(connection, wedding_id, touched, asked)
        return [
            Versions(now=item, earlier=(*filter(None, [then.get(item_id)]), *between.get(item_id, ())))
            for item_id, item in now.items()
        ]


async def _rows(
    connection: AsyncConnection, query: TextClause, wedding_id: str, sequence: int, **asked: Any
) -> Sequence[Row[Any]]:
    """Return items as they were; their rows say whether they existed."""
    names = {"wedding": wedding_id, "sequence": sequence, **asked}
    rows = (await connection.execute(query, names)).all()
    if any(row.existed and row.state is None for row in rows):
        raise _not_kept_before((await connection.execute(_KEPT_FROM, names)).scalar_one())
    return rows


async def _item(
    connection: AsyncConnection, wedding_id: str, item_id: str, sequence: int
) -> ItemState | None:
    rows = await _rows(connection, _ITEM_THEN, wedding_id, sequence, item=item_id, limit=1)
    return next((item_of(row.state) for row in rows if row.existed), None)


async def _items(
    connection: AsyncConnection, wedding_id: str, sequence: int, after: str, chunk: int
) -> AsyncGenerator[Row[Any], None]:
    while True:
        rows = await _rows(connection, _ITEMS_THEN, wedding_id, sequence, after=after, limit=chunk)
        for row in rows:
            yield row
        if len(rows) < chunk:
            return
        after = str(rows[-1].item_id)


async def _changed(
    connection: AsyncConnection, wedding_id: str, since: int, *, sequence: int
) -> dict[str, ItemState]:
    limit = MOST_REWOUND + 1
    rows = await _rows(connection, _CHANGED_THEN, wedding_id, sequence, since=since, limit=limit)
    if len(rows) == limit:
        raise too_much()
    return {str(row.item_id): item_of(row.state) for row in rows if row.existed}


async def _between(
    connection: AsyncConnection, wedding_id: str, item_ids: Sequence[str], asked: Rewinding
) -> dict[str, list[ItemState]]:
    """Return the items as each change since then left them, in order."""
    names = {"wedding": wedding_id, "items": item_ids, "then": asked.then, "now": asked.now}
    rows = (await connection.execute(_BETWEEN, {**names, "limit": _MOST_VERSIONS + 1})).all()
    if len(rows) > _MOST_VERSIONS:
        raise too_much()
    if lost := [row.sequence for row in rows if row.state is None]:
        raise _not_kept_before(max(lost) + 1)
    return {
        str(item_id): [item_of(row.state) for row in versions]
        for item_id, versions in itertools.groupby(rows, key=lambda row: row.item_id)
    }


def _not_kept_before(sequence: int) -> FailedPrecondition:
    return FailedPrecondition(
        f"How this wedding was is kept from sequence {sequence} on.",
        metadata={"from_sequence": str(sequence)},
    )
