"""Translated changes that wait for the sync service's answer, and what the answer teaches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import RowMapping, text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.gateway.deliver.confirm import settled
from services.gateway.records import RecordKey
from services.gateway.store.blobs import pack, pack_fields, unpack, unpack_fields
from services.gateway.store.deliveries import deliver_again
from services.gateway.store.inbound import Activity
from services.gateway.store.sql import CLAIM_SECONDS, first, rows
from wedsync.clock import Clock
from wedsync.model.changes import ChangeResult, Outcome
from wedsync.model.codec import dump_result, load_change
from wedsync.runtime.database import Database

_CLAIM = text("""
    UPDATE gateway.vendor_activities a
    SET lease_until = clock_timestamp() + make_interval(secs => :seconds), attempts = attempts + 1
    FROM (SELECT id FROM gateway.vendor_activities p
          WHERE state = 'pending' AND not_before <= clock_timestamp() AND lease_until < clock_timestamp()
            -- The next change of a record waits for the one before: order within a record is kept.
            AND NOT EXISTS (SELECT 1 FROM gateway.vendor_activities o
                            WHERE o.link_id = p.link_id AND o.item_id = p.item_id AND o.state = 'pending'
                              AND o.generation < p.generation)
          ORDER BY backfill, created_at LIMIT :limit FOR UPDATE SKIP LOCKED) due
    WHERE a.id = due.id
    RETURNING a.id, a.organization_id
""")
_LOAD = text("""
    SELECT id, organization_id, wedding_id, link_id, item_id, change, attempts, trace_parent, backfill
    FROM gateway.vendor_activities WHERE id = ANY(:ids) ORDER BY created_at
""")
_RESOLVE = text("""
    UPDATE gateway.vendor_activities
    SET state = :state, result = :result, sequence = :sequence, committed_at = :committed_at,
        resolved_at = clock_timestamp(), lease_until = '-infinity', reason = :reason
    WHERE id = :id AND state = 'pending'
    RETURNING trace_parent
""")
_RETRY = text("""
    UPDATE gateway.vendor_activities
    SET reason = :reason, lease_until = '-infinity',
        not_before = clock_timestamp() + make_interval(secs => :seconds)
    WHERE id = ANY(:ids)
""")
_SHOWN = text("""
    SELECT fields FROM gateway.shadow_items WHERE link_id = :link_id AND item_id = :item_id FOR UPDATE
""")
_ADVANCE = text("""
    UPDATE gateway.shadow_items SET fields = :fields WHERE link_id = :link_id AND item_id = :item_id
""")


class ActivityStore:
    """Changes on their way."""

    def __init__(self, database: Database, worker: Database, clock: Clock) -> None:
        self._database, self._worker, self._clock = database, worker, clock

    async def claim(self, limit: int) -> list[Activity]:
        """Claim changes that wait to be sent, backfills last; of each record only the oldest."""
        async with self._worker.transaction() as conn:
            claimed = await rows(conn, _CLAIM, {"limit": limit, "seconds": CLAIM_SECONDS})
        if not claimed:
            return []
        organizations = {str(row["organization_id"]) for row in claimed}
        async with self._database.transaction(organizations=organizations) as conn:
            loaded = await rows(conn, _LOAD, {"ids": [row["id"] for row in claimed]})
        return [_activity(row) for row in loaded]

    async def resolve(self, activity: Activity, result: ChangeResult, *, corrected: bool) -> None:
        """Record what became of a change; what was taken becomes the base of the vendor's next edit.

        With `corrected`, the vendor's record is made due: it shows what is not the truth.
        """
        async with self._database.transaction(
            organizations=[activity.organization_id], weddings=[activity.wedding_id]
        ) as conn:
            resolved = await first(conn, _RESOLVE, _outcome(activity, result))
            if resolved is None:
                return
            await _advance(conn, activity, result)
            if corrected:
                await deliver_again(
                    conn,
                    _key(activity),
                    kind=activity.change.item_kind,
                    cause=activity.change.change_id,
                    at=self._clock.now(),
                    trace_parent=resolved["trace_parent"],
                )

    async def retry(self, activities: Sequence[Activity], *, seconds: float, reason: str) -> None:
        """Send changes again later."""
        ids = [activity.change.change_id for activity in activities]
        organizations = {activity.organization_id for activity in activities}
        async with self._database.transaction(organizations=organizations) as conn:
            await conn.execute(_RETRY, {"ids": ids, "seconds": seconds, "reason": reason})


async def _advance(conn: AsyncConnection, activity: Activity, result: ChangeResult) -> None:
    names = {"link_id": activity.link_id, "item_id": activity.item_id}
    row = await first(conn, _SHOWN, names) if result.fields else None
    if row is not None:
        fields = settled(unpack_fields(row["fields"]), result)
        await conn.execute(_ADVANCE, {**names, "fields": pack_fields(fields)})


def _outcome(activity: Activity, result: ChangeResult) -> dict[str, Any]:
    return {
        "id": activity.change.change_id,
        "state": "rejected" if result.outcome is Outcome.REJECTED else "applied",
        "result": pack(dump_result(result)),
        "sequence": result.sequence or None,
        "committed_at": result.committed_at,
        "reason": result.reason,
    }


def _key(activity: Activity) -> RecordKey:
    return RecordKey(
        organization_id=activity.organization_id,
        wedding_id=activity.wedding_id,
        link_id=activity.link_id,
        item_id=activity.item_id,
    )


def _activity(row: RowMapping) -> Activity:
    return Activity(
        organization_id=str(row["organization_id"]),
        wedding_id=str(row["wedding_id"]),
        link_id=str(row["link_id"]),
        item_id=str(row["item_id"]),
        change=load_change(unpack(row["change"]), trace_parent=row["trace_parent"]),
        attempts=row["attempts"],
        backfill=row["backfill"],
    )
