"""What the conflicts service keeps in Postgres."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson
from sqlalchemy import text
from sqlalchemy.engine import Row

from services.conflicts.conflict import Claim, Collision, Conflict, Ending, State
from services.conflicts.paging import Place
from wedsync.errors import NotFound
from wedsync.model.codec import dump_source, dump_value, dump_values, load_source, load_value, load_values
from wedsync.model.items import ItemKind
from wedsync.runtime.database import Database
from wedsync.runtime.envelope import seal, unseal

_COLUMNS = (
    "conflict_id, wedding_id, sequence, item_id, item_kind, path, state, committed_at, organization_ids,"
    " current_claim, proposed_claim, as_of_sequence"
)
# A collision told twice is the same conflict; told later, its sides may want something else since.
_OPEN = text(
    f"INSERT INTO conflicts.integration_conflicts AS c ({_COLUMNS})"
    " VALUES (:conflict_id, :wedding_id, :sequence, :item_id, :item_kind, :path, :state, :committed_at,"
    " :organization_ids, :current_claim, :proposed_claim, :as_of_sequence)"
    " ON CONFLICT (wedding_id, sequence, path) DO UPDATE"
    " SET current_claim = excluded.current_claim, proposed_claim = excluded.proposed_claim,"
    " as_of_sequence = excluded.as_of_sequence"
    " WHERE c.as_of_sequence < excluded.as_of_sequence"
)
_END = text("""
    INSERT INTO conflicts.conflict_endings
        (wedding_id, sequence, path, state, ended_at, organization_ids, final_claim)
    VALUES (:wedding_id, :sequence, :path, :state, :ended_at, :organization_ids, :final_claim)
    ON CONFLICT DO NOTHING
""")
_NEWEST = """
    SELECT c.conflict_id, c.wedding_id, c.sequence, c.item_id, c.item_kind, c.path, c.committed_at,
           c.organization_ids, c.current_claim, c.proposed_claim, c.as_of_sequence,
           coalesce(e.state, c.state) AS state, e.final_claim, e.ended_at
    FROM conflicts.integration_conflicts c
    LEFT JOIN conflicts.conflict_endings e USING (wedding_id, sequence, path)
    WHERE true
"""
_GET = text(_NEWEST + " AND c.conflict_id = :conflict_id")
_OF_WEDDING = " AND c.wedding_id = :wedding_id"
_IN_STATE = " AND coalesce(e.state, c.state) = :state"
_AFTER = " AND (c.committed_at, c.conflict_id) < (:committed_at, CAST(:conflict_id AS uuid))"
_ORDER = " ORDER BY c.committed_at DESC, c.conflict_id DESC LIMIT :limit"


class ConflictsStore:
    """Conflicts, seen by the organizations each of them names."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def keep(self, conflicts: Sequence[Conflict], endings: Sequence[Ending] = ()) -> None:
        """Keep what is not known yet: conflicts, newer claims of theirs, and endings."""
        organizations = {o for conflict in conflicts for o in conflict.collision.organization_ids}
        organizations |= {o for ending in endings for o in ending.organization_ids}
        # In one order everywhere, so that two batches that share conflicts do not wait for each other.
        rows = [_row(conflict) for conflict in sorted(conflicts, key=lambda c: c.conflict_id)]
        async with self._database.transaction(organizations=organizations) as connection:
            if rows:
                await connection.execute(_OPEN, rows)
            if endings:
                await connection.execute(_END, [_ending_row(ending) for ending in endings])

    async def get(self, organization_id: str, conflict_id: str) -> Conflict:
        """Return a conflict the organization may see. Raises `NotFound`."""
        async with self._database.transaction(organizations=[organization_id]) as connection:
            row = (await connection.execute(_GET, {"conflict_id": conflict_id})).one_or_none()
        if row is None:
            raise NotFound("There is no such conflict, or the caller may not see it.")
        return _conflict(row)

    async def newest(
        self,
        organization_id: str,
        *,
        limit: int,
        wedding_id: str | None = None,
        state: State | None = None,
        after: Place | None = None,
    ) -> list[Conflict]:
        """Return the newest conflicts the organization may see, from a place on."""
        statement, values = _NEWEST, {"limit": limit, **_filters(wedding_id, state, after)}
        statement += _OF_WEDDING * (wedding_id is not None)
        statement += _IN_STATE * (state is not None)
        statement += _AFTER * (after is not None)
        async with self._database.transaction(organizations=[organization_id]) as connection:
            rows = await connection.execute(text(statement + _ORDER), values)
            return [_conflict(row) for row in rows]


def _filters(wedding_id: str | None, state: State | None, after: Place | None) -> dict[str, Any]:
    values: dict[str, Any] = {}
    if wedding_id is not None:
        values["wedding_id"] = wedding_id
    if state is not None:
        values["state"] = state.value
    if after is not None:
        values |= {"committed_at": after.committed_at, "conflict_id": after.conflict_id}
    return values


def _row(conflict: Conflict) -> dict[str, Any]:
    collision = conflict.collision
    return {
        "conflict_id": conflict.conflict_id,
        "wedding_id": collision.wedding_id,
        "sequence": collision.sequence,
        "item_id": collision.item_id,
        "item_kind": collision.item_kind.value,
        "path": collision.path,
        "state": conflict.state.value,
        "committed_at": collision.committed_at,
        "organization_ids": sorted(set(collision.organization_ids)),
        "current_claim": _pack(collision.current),
        "proposed_claim": _pack(collision.proposed),
        "as_of_sequence": collision.as_of_sequence,
    }


def _ending_row(ending: Ending) -> dict[str, Any]:
    return {
        "wedding_id": ending.wedding_id,
        "sequence": ending.sequence,
        "path": ending.path,
        "state": ending.state.value,
        "ended_at": ending.ended_at,
        "organization_ids": sorted(set(ending.organization_ids)),
        "final_claim": _pack(ending.final),
    }


def _conflict(row: Row[Any]) -> Conflict:
    collision = Collision(
        wedding_id=str(row.wedding_id),
        sequence=row.sequence,
        item_id=str(row.item_id),
        item_kind=ItemKind(row.item_kind),
        path=row.path,
        current=_unpack(row.current_claim),
        proposed=_unpack(row.proposed_claim),
        committed_at=row.committed_at,
        organization_ids=tuple(row.organization_ids),
        as_of_sequence=row.as_of_sequence,
    )
    return Conflict(
        conflict_id=str(row.conflict_id),
        collision=collision,
        state=State(row.state),
        final=_unpack(row.final_claim) if row.final_claim else None,
        ended_at=row.ended_at,
    )


def _pack(claim: Claim) -> bytes:
    record = {
        "v": dump_value(claim.value),
        "by": dump_source(claim.source),
        "rev": claim.revision,
        "values": dump_values(claim.values),
    }
    return seal(orjson.dumps(record))


def _unpack(blob: bytes) -> Claim:
    record = orjson.loads(unseal(blob).payload)
    return Claim(
        value=load_value(record["v"]),
        source=load_source(record["by"]),
        revision=record.get("rev", 0),
        values=load_values(record.get("values", {})),
    )
