"""What works by itself reads and writes in Postgres: facts on their way out, change ids that grow old.

The worker role sees whose a row is and when it is due, and nothing of what it says.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson
from sqlalchemy import text
from sqlalchemy.engine import Row

from services.sync.facts import Destination, Fact
from services.sync.lanes import LANES
from services.sync.records import Claim
from wedsync.runtime.database import Database
from wedsync.runtime.envelope import unseal
from wedsync.runtime.round_trip import Statement

# By what is due, never by a remembered id: ids become visible in another order than they were given.
_CLAIM = text(
    "UPDATE sync.outbox o SET attempts = o.attempts + 1,"
    "   claimed_until = clock_timestamp() + make_interval(secs => :seconds)"
    " FROM (SELECT wedding_id, fact_id FROM sync.outbox"
    "       WHERE destination = :destination AND not_before <= clock_timestamp()"
    "         AND claimed_until <= clock_timestamp()"
    "       ORDER BY lane, not_before LIMIT :limit FOR UPDATE SKIP LOCKED) due"
    " WHERE o.wedding_id = due.wedding_id AND o.fact_id = due.fact_id"
    " RETURNING o.wedding_id, o.fact_id, o.attempts"
)
# The first half has an index keep to the weddings: the table is mostly empty, and a plan made then would walk
# through all of it when much waits.
_LISTED = (
    "wedding_id = ANY(CAST(:weddings AS uuid[])) AND (wedding_id, fact_id) IN"
    " (SELECT * FROM unnest(CAST(:weddings AS uuid[]), CAST(:facts AS uuid[])))"
)
_POSTPONE = text(
    "UPDATE sync.outbox SET claimed_until = '-infinity',"
    " not_before = clock_timestamp() + make_interval(secs => :seconds)"
    f" WHERE {_LISTED}"
)
_FACTS = text(
    "SELECT wedding_id, fact_id, sequence, destination, lane, body, trace_parent, committed_at"
    " FROM sync.outbox"
    f" WHERE {_LISTED} ORDER BY lane, wedding_id, sequence"
)
_DONE = Statement(
    "done",
    "DELETE FROM sync.outbox WHERE wedding_id = ANY(%(weddings)s::uuid[]) AND (wedding_id, fact_id) IN"
    " (SELECT * FROM unnest(%(weddings)s::uuid[], %(facts)s::uuid[]))",
)

_FORGET = text(
    "DELETE FROM sync.change_keys WHERE (wedding_id, change_id) IN ("
    " SELECT wedding_id, change_id FROM sync.change_keys"
    " WHERE created_at < clock_timestamp() - make_interval(days => :days) LIMIT :limit)"
)
# There are few of them: no index, no parts.
_FORGET_REWINDS = text(
    "DELETE FROM sync.rewinds WHERE created_at < clock_timestamp() - make_interval(days => :days)"
)


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
        await self._database.exchange(_DONE, _keys(facts), weddings=[fact.wedding_id for fact in facts])

    async def postpone(self, claims: Sequence[Claim], *, seconds: float) -> None:
        """Give claimed facts back, to be tried again later."""
        async with self._worker.transaction() as connection:
            await connection.execute(_POSTPONE, {"seconds": seconds, **_keys(claims)})


def _keys(rows: Sequence[Claim] | Sequence[Fact]) -> dict[str, list[str]]:
    return {"weddings": [row.wedding_id for row in rows], "facts": [row.fact_id for row in rows]}


class KeyStore:
    """Ids of changes and of requests, as far as they must be forgotten."""

    def __init__(self, worker: Database) -> None:
        self._worker = worker

    async def forget(self, *, days: int, limit: int) -> int:
        """Forget some of the change ids that are older than this, and such rewinds; return how many ids."""
        async with self._worker.transaction() as connection:
            await connection.execute(_FORGET_REWINDS, {"days": days})
            return (await connection.execute(_FORGET, {"days": days, "limit": limit})).rowcount


def _fact(row: Row[Any]) -> Fact:
    return Fact(
        fact_id=str(row.fact_id),
        wedding_id=str(row.wedding_id),
        sequence=row.sequence,
        destination=Destination(row.destination),
        priority=LANES[row.lane],
        body=orjson.loads(unseal(row.body).payload),
        trace_parent=row.trace_parent,
        committed_at=row.committed_at,
    )
