"""Conflicts, the decisions about them and their endings."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from sqlalchemy import TextClause, text
from sqlalchemy.engine import Row
from sqlalchemy.ext.asyncio import AsyncConnection

from services.conflicts.acts import Act
from services.conflicts.conflict import Collision, Conflict, Decision, Ending, State
from services.conflicts.paging import Place
from services.conflicts.policies import Policy, decide
from services.conflicts.store.acts import add_acts, conclude
from services.conflicts.store.packing import pack_claim, pack_decision, unpack_claim, unpack_decision
from services.conflicts.words import summary
from wedsync.errors import FailedPrecondition, NotFound
from wedsync.model.ids import conflict_id
from wedsync.model.items import ItemKind
from wedsync.runtime.database import Database

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
_STATE = "coalesce(e.state, CASE WHEN d.conflict_id IS NULL THEN c.state ELSE 'decided' END)"
_NEWEST = f"""
    SELECT c.conflict_id, c.wedding_id, c.sequence, c.item_id, c.item_kind, c.path, c.committed_at,
           c.organization_ids, c.current_claim, c.proposed_claim, c.as_of_sequence,
           {_STATE} AS state, e.final_claim, e.ended_at,
           d.request_id, d.decision, d.decided_at, coalesce(a.reason, '') AS trouble
    FROM conflicts.integration_conflicts c
    LEFT JOIN conflicts.conflict_endings e USING (wedding_id, sequence, path)
    LEFT JOIN conflicts.conflict_decisions d USING (conflict_id)
    LEFT JOIN conflicts.conflict_acts a
      ON a.conflict_id = c.conflict_id AND a.act = 'decide' AND a.state = 'parked'
    WHERE true
"""
_GET = text(_NEWEST + " AND c.conflict_id = :conflict_id")
_LOCKED = text(_NEWEST + " AND c.conflict_id = :conflict_id FOR UPDATE OF c")
_DECIDE = text("""
    INSERT INTO conflicts.conflict_decisions (conflict_id, request_id, organization_ids, decision)
    VALUES (:conflict_id, :request_id, :organization_ids, :decision) ON CONFLICT DO NOTHING
""")
# Asked are people only about what is open: an ending, or a decision, may have come first.
_OPEN_AMONG = text(f"""
    SELECT c.conflict_id FROM conflicts.integration_conflicts c
    LEFT JOIN conflicts.conflict_endings e USING (wedding_id, sequence, path)
    LEFT JOIN conflicts.conflict_decisions d USING (conflict_id)
    WHERE c.conflict_id = ANY(:conflict_ids) AND {_STATE} = 'open'
""")
_OF_WEDDING = " AND c.wedding_id = :wedding_id"
_IN_STATE = f" AND {_STATE} = :state"
_AFTER = " AND (c.committed_at, c.conflict_id) < (:committed_at, CAST(:conflict_id AS uuid))"
_ORDER = " ORDER BY c.committed_at DESC, c.conflict_id DESC LIMIT :limit"


class ConflictsStore:
    """Conflicts, seen by the organizations each of them names."""

    def __init__(self, database: Database, policies: Sequence[Policy] = ()) -> None:
        self._database, self._policies = database, policies

    async def keep(self, conflicts: Sequence[Conflict], endings: Sequence[Ending] = ()) -> None:
        """Keep what is not known yet: conflicts, newer claims of theirs, and endings.

        In the same transaction policies decide what they can; about the rest people are to be asked.
        """
        organizations = {o for conflict in conflicts for o in conflict.collision.organization_ids}
        organizations |= {o for ending in endings for o in ending.organization_ids}
        # In one order everywhere, so that two batches that share conflicts do not wait for each other.
        rows = [_row(conflict) for conflict in sorted(conflicts, key=lambda c: c.conflict_id)]
        async with self._database.transaction(organizations=organizations) as connection:
            if rows:
                await connection.execute(_OPEN, rows)
            if endings:
                await connection.execute(_END, [_ending_row(ending) for ending in endings])
            await self._act(connection, conflicts)
            await conclude(connection, [_id_of(ending) for ending in endings])

    async def get(self, organizations: Iterable[str], conflict_id: str) -> Conflict:
        """Return a conflict one of the organizations may see. Raises `NotFound`."""
        async with self._database.transaction(organizations=set(organizations)) as connection:
            return await _one(connection, _GET, conflict_id)

    async def decide(
        self, organization_id: str, conflict_id: str, choose: Callable[[Conflict], Decision]
    ) -> Conflict:
        """Keep what `choose` decides, and make it due; the same request again changes nothing.

        Raises `NotFound`, `FailedPrecondition` if it was decided before, and what `choose` raises.
        """
        async with self._database.transaction(organizations=[organization_id]) as connection:
            members = (await _one(connection, _GET, conflict_id)).collision.organization_ids
        # Who writes a conflict acts for all its members: the rows are theirs.
        async with self._database.transaction(organizations=set(members)) as connection:
            conflict = await _one(connection, _LOCKED, conflict_id)
            decision = choose(conflict)
            if conflict.decision is None or not conflict.decision.same_as(decision):
                _refuse_decided(conflict)
                await _decide(connection, conflict, decision)
            return await _one(connection, _GET, conflict_id)

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

    async def _act(self, connection: AsyncConnection, conflicts: Sequence[Conflict]) -> None:
        told = {conflict.conflict_id: conflict for conflict in conflicts}
        found = await connection.execute(_OPEN_AMONG, {"conflict_ids": list(told)})
        unasked: dict[str, Sequence[str]] = {}
        for conflict in (told[str(row.conflict_id)] for row in found):
            decision = decide(self._policies, conflict.collision)
            if decision is not None:
                await _decide(connection, conflict, decision)
            else:
                unasked[conflict.conflict_id] = conflict.collision.organization_ids
        await add_acts(connection, Act.ANNOUNCE, unasked)


async def _one(connection: AsyncConnection, statement: TextClause, conflict_id: str) -> Conflict:
    row = (await connection.execute(statement, {"conflict_id": conflict_id})).one_or_none()
    if row is None:
        raise NotFound("There is no such conflict, or the caller may not see it.")
    return _conflict(row)


async def _decide(connection: AsyncConnection, conflict: Conflict, decision: Decision) -> None:
    members = sorted(set(conflict.collision.organization_ids))
    row = {
        "conflict_id": conflict.conflict_id,
        "request_id": decision.request_id,
        "organization_ids": members,
        "decision": pack_decision(decision),
    }
    await connection.execute(_DECIDE, row)
    await add_acts(connection, Act.DECIDE, {conflict.conflict_id: members})


def _refuse_decided(conflict: Conflict) -> None:
    if conflict.state is not State.OPEN:
        raise FailedPrecondition(f"There is nothing to decide any more. {summary(conflict)}")


def _id_of(ending: Ending) -> str:
    return conflict_id(ending.wedding_id, ending.sequence, ending.path)


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
        "current_claim": pack_claim(collision.current),
        "proposed_claim": pack_claim(collision.proposed),
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
        "final_claim": pack_claim(ending.final),
    }


def _conflict(row: Row[Any]) -> Conflict:
    collision = Collision(
        wedding_id=str(row.wedding_id),
        sequence=row.sequence,
        item_id=str(row.item_id),
        item_kind=ItemKind(row.item_kind),
        path=row.path,
        current=unpack_claim(row.current_claim),
        proposed=unpack_claim(row.proposed_claim),
        committed_at=row.committed_at,
        organization_ids=tuple(row.organization_ids),
        as_of_sequence=row.as_of_sequence,
    )
    return Conflict(
        conflict_id=str(row.conflict_id),
        collision=collision,
        state=State(row.state),
        decision=unpack_decision(row.decision, row.request_id, row.decided_at) if row.decision else None,
        trouble=row.trouble,
        final=unpack_claim(row.final_claim) if row.final_claim else None,
        ended_at=row.ended_at,
    )
