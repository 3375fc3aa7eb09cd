"""What is to be done about conflicts: kept beside them, claimed by one, done in order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.conflicts.acts import PLACES, Act, Due
from wedsync.runtime.database import Database

CLAIM_SECONDS = 30
"""After a crash an act is claimed again then."""

_ADD = text("""
    INSERT INTO conflicts.conflict_acts (conflict_id, place, act, organization_ids)
    VALUES (:conflict_id, :place, :act, :organization_ids) ON CONFLICT DO NOTHING
""")
# Nobody is told how a question ended that was never asked.
_CONCLUDE = text("""
    INSERT INTO conflicts.conflict_acts (conflict_id, place, act, organization_ids)
    SELECT a.conflict_id, :place, :act, a.organization_ids FROM conflicts.conflict_acts a
    WHERE a.conflict_id = :conflict_id AND a.act = :after ON CONFLICT DO NOTHING
""")
_CLAIM = text("""
    UPDATE conflicts.conflict_acts t
    SET lease_until = clock_timestamp() + make_interval(secs => :seconds), attempts = attempts + 1
    FROM (SELECT conflict_id, place FROM conflicts.conflict_acts d
          WHERE state = 'due' AND not_before <= clock_timestamp() AND lease_until < clock_timestamp()
            AND NOT EXISTS (SELECT 1 FROM conflicts.conflict_acts b
                            WHERE b.conflict_id = d.conflict_id AND b.place < d.place AND b.state = 'due')
          ORDER BY created_at LIMIT :limit FOR UPDATE SKIP LOCKED) due
    WHERE t.conflict_id = due.conflict_id AND t.place = due.place
    RETURNING t.conflict_id, t.act, t.organization_ids, t.attempts
""")
_CLOSE = text("""
    UPDATE conflicts.conflict_acts SET state = :state, reason = :reason, lease_until = '-infinity'
    WHERE conflict_id = :conflict_id AND act = :act AND state = 'due'
""")
_LATER = text("""
    UPDATE conflicts.conflict_acts
    SET reason = :reason, lease_until = '-infinity',
        not_before = clock_timestamp() + make_interval(secs => :seconds)
    WHERE conflict_id = :conflict_id AND act = :act AND state = 'due'
""")


class ActStore:
    """Acts that are due."""

    def __init__(self, database: Database, worker: Database) -> None:
        self._database, self._worker = database, worker

    async def claim(self, limit: int) -> Sequence[Due]:
        """Claim acts that are due; of one conflict only the first."""
        async with self._worker.transaction() as connection:
            claimed = await connection.execute(_CLAIM, {"limit": limit, "seconds": CLAIM_SECONDS})
            return [
                Due(
                    act=Act(row.act),
                    conflict_id=str(row.conflict_id),
                    organization_ids=tuple(row.organization_ids),
                    attempts=row.attempts,
                )
                for row in claimed
            ]

    async def close(self, due: Due, *, reason: str = "", parked: bool = False) -> None:
        """Say that an act is done, or parked for a person to look at."""
        await self._write(_CLOSE, due, state="parked" if parked else "done", reason=reason)

    async def later(self, due: Due, *, seconds: float, reason: str) -> None:
        """Do an act later."""
        await self._write(_LATER, due, seconds=seconds, reason=reason)

    async def _write(self, statement: Any, due: Due, **values: Any) -> None:
        async with self._database.transaction(organizations=due.organization_ids) as connection:
            place = {"conflict_id": due.conflict_id, "act": due.act.value}
            await connection.execute(statement, {**place, **values})


async def add_acts(connection: AsyncConnection, act: Act, conflicts: Mapping[str, Sequence[str]]) -> None:
    """Make an act due about each conflict, named with its organizations; known ones stay as they are."""
    rows = [
        {**_place(act, conflict_id), "organization_ids": sorted(set(organizations))}
        for conflict_id, organizations in conflicts.items()
    ]
    if rows:
        await connection.execute(_ADD, rows)


async def conclude(connection: AsyncConnection, conflict_ids: Sequence[str]) -> None:
    """Let people know how conflicts ended about which they were asked."""
    rows = [{**_place(Act.CONCLUDE, one), "after": Act.ANNOUNCE.value} for one in conflict_ids]
    if rows:
        await connection.execute(_CONCLUDE, rows)


def _place(act: Act, conflict_id: str) -> dict[str, Any]:
    return {"conflict_id": conflict_id, "place": PLACES[act], "act": act.value}
