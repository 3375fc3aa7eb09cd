"""Translated changes that wait for the sync service's answer, and what the answer teaches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import text

from services.gateway.deliver.confirm import UNKNOWN_ITEM, agrees, settled
from services.gateway.records import RecordKey, Shown
from services.gateway.store.blobs import pack, pack_fields, unpack, unpack_fields
from services.gateway.store.deliveries import correction_row
from services.gateway.store.deliveries_sql import CORRECT, CORRECTION
from services.gateway.store.inbound import Activity
from services.gateway.store.inbound_sql import IS_PENDING
from services.gateway.store.leases import scope_of
from services.gateway.store.sql import CLAIM_SECONDS, asked_rows, records
from wedsync.clock import Clock
from wedsync.model.changes import ChangeResult, Outcome
from wedsync.model.codec import dump_result, load_change
from wedsync.runtime.database import Database
from wedsync.runtime.round_trip import Asked, Statement
from wedsync.runtime.together import Together

_CLAIM = Statement(
    "claim_changes",
    """
    UPDATE gateway.vendor_activities a
    SET lease_until = clock_timestamp() + make_interval(secs => %(seconds)s), attempts = attempts + 1
    FROM (SELECT id FROM gateway.vendor_activities p
          WHERE resolved_at IS NULL AND state = 'pending'
            AND not_before <= clock_timestamp() AND lease_until < clock_timestamp()
            -- The next change of a record waits for the one before: order within a record is kept.
            AND NOT EXISTS (SELECT 1 FROM gateway.vendor_activities o
                            WHERE o.link_id = p.link_id AND o.item_id = p.item_id AND o.state = 'pending'
                              AND o.generation < p.generation OFFSET 0)
          ORDER BY backfill, created_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED) due
    WHERE a.id = due.id
    RETURNING a.id, a.organization_id
""",
)
_LOAD = Statement(
    "load_changes",
    """
    SELECT id, organization_id, wedding_id, link_id, item_id, change, attempts, trace_parent, backfill
    FROM gateway.vendor_activities WHERE id = ANY(%(ids)s::uuid[]) ORDER BY created_at
""",
)
_ANSWERED = "id uuid, state text, result text, sequence bigint, committed_at timestamptz, reason text"
_SETTLED = f"{_ANSWERED}, link_id uuid, item_id uuid, generation bigint, fields text, agreed boolean"
_RESOLVED = """
    SET state = a.state, result = decode(a.result, 'base64'), sequence = a.sequence,
        committed_at = a.committed_at, resolved_at = clock_timestamp(), lease_until = '-infinity',
        reason = a.reason
"""
_RESOLVE = Statement(
    "resolve_changes",
    f"""
    UPDATE gateway.vendor_activities v
    {_RESOLVED}
    FROM {asked_rows(_ANSWERED)} AS a
    WHERE v.id = a.id AND {IS_PENDING}
    RETURNING v.id, v.trace_parent
""",
)
# Who knows what the record showed says what it shows now; where it moved on meanwhile nothing is done.
_SETTLE = Statement(
    "settle_changes",
    f"""
    WITH asked AS MATERIALIZED (
        SELECT * FROM {asked_rows(_SETTLED)} AS a
    ), unmoved AS MATERIALIZED (
        SELECT a.* FROM gateway.shadow_items s JOIN asked a USING (link_id, item_id)
        WHERE s.generation = a.generation ORDER BY s.link_id, s.item_id FOR UPDATE OF s
    ), resolved AS (
        UPDATE gateway.vendor_activities v
        {_RESOLVED}, agreed = a.agreed
        FROM unmoved a WHERE v.id = a.id AND {IS_PENDING}
        RETURNING v.id
    ), advanced AS (
        UPDATE gateway.shadow_items s SET fields = decode(a.fields, 'base64')
        FROM unmoved a JOIN resolved USING (id)
        WHERE a.fields IS NOT NULL AND s.link_id = a.link_id AND s.item_id = a.item_id
    )
    SELECT id FROM resolved
""",
)
_RETRY = text("""
    UPDATE gateway.vendor_activities
    SET reason = :reason, lease_until = '-infinity',
        not_before = clock_timestamp() + make_interval(secs => :seconds)
    WHERE id = ANY(:ids)
""")
_SHOWN = Statement(
    "shown_changes",
    f"""
    SELECT s.link_id, s.item_id, s.fields
    FROM gateway.shadow_items s
    JOIN {asked_rows("link_id uuid, item_id uuid")} AS a USING (link_id, item_id)
    ORDER BY s.link_id, s.item_id FOR UPDATE OF s
""",
)
_ADVANCE = Statement(
    "advance_changes",
    f"""
    UPDATE gateway.shadow_items s SET fields = decode(a.fields, 'base64')
    FROM {asked_rows("link_id uuid, item_id uuid, fields text")} AS a
    WHERE s.link_id = a.link_id AND s.item_id = a.item_id
""",
)
_CORRECTED = f"organization_id text, wedding_id uuid, link_id uuid, item_id uuid, kind text, {CORRECTION}"
_CORRECT = Statement(
    "correct_changes",
    f"""
    {CORRECT} FROM {asked_rows(_CORRECTED)} AS a ON CONFLICT DO NOTHING
""",
)


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of a change; with `corrected` the vendor shows what is not true, and its record is due."""

    activity: Activity
    result: ChangeResult
    corrected: bool

    @property
    def is_plain(self) -> bool:
        """Whether what follows from it is known without a look at the record."""
        return self.activity.shadow is not None and not self.corrected


class ActivityStore:
    """Changes on their way."""

    def __init__(self, database: Database, worker: Database, clock: Clock) -> None:
        self._database, self._worker, self._clock = database, worker, clock
        self._resolve = Together[Sequence[Answer], None](self._resolve_all)

    async def claim(self, limit: int) -> list[Activity]:
        """Claim changes that wait to be sent, backfills last; of each record only the oldest."""
        [claimed] = await self._worker.run((_CLAIM, {"limit": limit, "seconds": CLAIM_SECONDS}))
        if not claimed:
            return []
        organizations = {str(row["organization_id"]) for row in claimed}
        ids = [str(row["id"]) for row in claimed]
        [loaded] = await self._database.run((_LOAD, {"ids": ids}), organizations=organizations)
        return [_activity(row) for row in loaded]

    async def resolve(self, *answers: Answer) -> None:
        """Record what became of changes; what was taken becomes the base of the vendor's next edit."""
        await self._resolve(answers)

    async def retry(self, activities: Sequence[Activity], *, seconds: float, reason: str) -> None:
        """Send changes again later."""
        ids = [activity.change.change_id for activity in activities]
        organizations = {activity.organization_id for activity in activities}
        async with self._database.transaction(organizations=organizations) as conn:
            await conn.execute(_RETRY, {"ids": ids, "seconds": seconds, "reason": reason})

    async def _resolve_all(self, asked: Sequence[Sequence[Answer]]) -> list[Exception | None]:
        answers = [answer for each in asked for answer in each]
        settled_ = await self._settle([answer for answer in answers if answer.is_plain])
        if rest := [answer for answer in answers if answer.activity.change.change_id not in settled_]:
            await self._talk_over(rest)
        return [None] * len(asked)

    async def _settle(self, answers: Sequence[Answer]) -> set[str]:
        """Record in one exchange what can be; return which changes that was done for."""
        if not answers:
            return set()
        scope = scope_of(_key(answer.activity) for answer in answers)
        [resolved] = await self._database.run((_SETTLE, records(map(_settlement, answers))), **scope)
        return {str(row["id"]) for row in resolved}

    async def _talk_over(self, answers: Sequence[Answer]) -> None:
        outcomes = records(_outcome(answer.activity, answer.result) for answer in answers)
        places = records(_place(answer.activity) for answer in answers)
        scope = scope_of(_key(answer.activity) for answer in answers)
        async with self._database.conversation(**scope) as say:
            shown, resolved = await say((_SHOWN, places), (_RESOLVE, outcomes))
            traces = {str(row["id"]): row["trace_parent"] for row in resolved}
            fresh = [answer for answer in answers if answer.activity.change.change_id in traces]
            if further := [*_advanced(fresh, shown), *self._corrected(fresh, traces)]:
                await say(*further)

    def _corrected(self, answers: Sequence[Answer], traces: Mapping[str, str]) -> list[Asked]:
        now = self._clock.now()
        wrong = [_correction(answer, traces, now) for answer in answers if answer.corrected]
        return [(_CORRECT, records(wrong))] if wrong else []


def _advanced(answers: Sequence[Answer], rows: Sequence[Mapping[str, Any]]) -> list[Asked]:
    """Return what lets what was taken be the base of the vendors' next edits."""
    before = {_of(row): unpack_fields(row["fields"]) for row in rows}
    shown: dict[tuple[str, str], Mapping[str, Shown]] = dict(before)
    for answer in answers:
        place = answer.activity.link_id, answer.activity.item_id
        if place in shown:
            shown[place] = _after(shown[place], answer.result)
    advanced = [
        {"link_id": link_id, "item_id": item_id, "fields": pack_fields(fields)}
        for (link_id, item_id), fields in shown.items()
        if fields != before[link_id, item_id]
    ]
    return [(_ADVANCE, records(advanced))] if advanced else []


def _of(row: Mapping[str, Any]) -> tuple[str, str]:
    return str(row["link_id"]), str(row["item_id"])


def _place(activity: Activity) -> dict[str, str]:
    return {"link_id": activity.link_id, "item_id": activity.item_id}


def _correction(answer: Answer, resolved: Mapping[str, str], now: datetime) -> dict[str, Any]:
    activity, cause = answer.activity, answer.activity.change.change_id
    return {
        **_place(activity),
        "organization_id": activity.organization_id,
        "wedding_id": activity.wedding_id,
        "kind": activity.change.item_kind,
        **correction_row(_key(activity), cause=cause, at=now, trace_parent=resolved[cause]),
    }


def _outcome(activity: Activity, result: ChangeResult) -> dict[str, Any]:
    return {
        "id": activity.change.change_id,
        "state": "rejected" if result.outcome is Outcome.REJECTED else "applied",
        "result": pack(dump_result(result)),
        "sequence": result.sequence or None,
        "committed_at": result.committed_at,
        "reason": result.reason,
    }


def _settlement(answer: Answer) -> dict[str, Any]:
    shadow = answer.activity.shadow
    assert shadow is not None  # noqa: S101  # of plain answers only
    after = _after(shadow.fields, answer.result)
    return {
        **_outcome(answer.activity, answer.result),
        **_place(answer.activity),
        "generation": shadow.generation,
        "fields": pack_fields(after) if after != shadow.fields else None,
        "agreed": agrees(after, answer.activity.change.kind, answer.result),
    }


def _after(fields: Mapping[str, Shown], result: ChangeResult) -> Mapping[str, Shown]:
    """Return what a record is known to show after the answer."""
    return settled(fields, result) if result.fields or result.reason == UNKNOWN_ITEM else fields


def _key(activity: Activity) -> RecordKey:
    return RecordKey(
        organization_id=activity.organization_id,
        wedding_id=activity.wedding_id,
        link_id=activity.link_id,
        item_id=activity.item_id,
    )


def _activity(row: Mapping[str, Any]) -> Activity:
    return Activity(
        organization_id=str(row["organization_id"]),
        wedding_id=str(row["wedding_id"]),
        link_id=str(row["link_id"]),
        item_id=str(row["item_id"]),
        change=load_change(unpack(row["change"]), trace_parent=row["trace_parent"]),
        attempts=row["attempts"],
        backfill=row["backfill"],
    )
