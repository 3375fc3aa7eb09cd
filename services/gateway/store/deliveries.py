"""What must go out: the projection of the truth, and the deliveries that are due."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.gateway.records import NO_OWNER, NOBODY, Busy, Owner, RecordKey, Shadow
from services.gateway.store.blobs import pack
from services.gateway.store.leases import SAVED, Held, ended, saved_row, scope_of
from services.gateway.store.sql import CLAIM_SECONDS, passed_by, records, rows
from wedsync.model.changes import ItemState, Priority
from wedsync.model.codec import dump_item
from wedsync.model.ids import delivery_id
from wedsync.model.items import ItemKind
from wedsync.runtime.database import Database
from wedsync.runtime.round_trip import Statement
from wedsync.runtime.together import Together

LANES: Mapping[Priority, int] = {lane: number for number, lane in enumerate(Priority)}
"""The most urgent lane is 0."""

_LINKS = Statement(
    "links_of_weddings",
    """
    SELECT id, organization_id, wedding_id FROM gateway.wedding_vendor_integrations
    WHERE wedding_id = ANY(%(weddings)s::uuid[]) AND state <> 'ended'
""",
)
# Rows are locked in one order everywhere, so that two hand-overs cannot wait for each other in a circle.
_PROJECT = Statement(
    "project",
    """
    INSERT INTO gateway.canonical_items AS c (wedding_id, item_id, kind, sequence, state)
    SELECT wedding_id, item_id, kind, sequence, decode(state, 'base64')
    FROM json_to_recordset(%(rows)s::json) AS a
        (wedding_id uuid, item_id uuid, kind text, sequence bigint, state text)
    ORDER BY wedding_id, item_id
    ON CONFLICT (wedding_id, item_id) DO UPDATE
        SET sequence = excluded.sequence, state = excluded.state, updated_at = clock_timestamp()
        WHERE c.sequence < excluded.sequence
""",
)
_DUE_COLUMNS = """
    INSERT INTO gateway.vendor_deliveries
        (id, created_at, organization_id, wedding_id, link_id, item_id, item_kind, change_id, sequence, lane,
         trace_parent)
"""
_DUE = Statement(
    "due",
    f"""
    {_DUE_COLUMNS}
    SELECT * FROM json_to_recordset(%(rows)s::json) AS a
        (id uuid, created_at timestamptz, organization_id text, wedding_id uuid, link_id uuid, item_id uuid,
         item_kind text, change_id uuid, sequence bigint, lane smallint, trace_parent text)
    ON CONFLICT DO NOTHING RETURNING 1 AS new
""",
)
CORRECTION = "correction_id uuid, correction_cause uuid, correction_at timestamptz, correction_trace text"
"""The columns of a row that also makes its record due, although nothing was committed."""
CORRECT = f"""
    {_DUE_COLUMNS}
    SELECT correction_id, correction_at, organization_id, wedding_id, link_id, item_id, kind,
           correction_cause, 0, {LANES[Priority.NORMAL]}, correction_trace
"""
"""Makes such records due: the vendor must be corrected."""
# An edit of what was said goes only where it was said, or is about to be.
_DUE_WHERE_TOLD = Statement(
    "due_where_told",
    f"""
    {_DUE_COLUMNS}
    SELECT a.* FROM json_to_recordset(%(rows)s::json) AS a
        (id uuid, created_at timestamptz, organization_id text, wedding_id uuid, link_id uuid, item_id uuid,
         item_kind text, change_id uuid, sequence bigint, lane smallint, trace_parent text)
    WHERE EXISTS (SELECT FROM gateway.shadow_items s WHERE s.link_id = a.link_id AND s.item_id = a.item_id)
       OR EXISTS (SELECT FROM gateway.vendor_deliveries v
                  WHERE v.link_id = a.link_id AND v.item_id = a.item_id AND v.state = 'due')
    ON CONFLICT DO NOTHING RETURNING 1 AS new
""",
)
_EVERYTHING = text("""
    SELECT item_id, kind, sequence, updated_at FROM gateway.canonical_items
    WHERE wedding_id = :wedding_id AND kind <> :said_once
""")
_CLAIM = Statement(
    "claim_deliveries",
    """
    WITH due AS (
        SELECT id, created_at, organization_id, link_id FROM gateway.vendor_deliveries w
        WHERE state = 'due' AND not_before <= clock_timestamp() AND lease_until < clock_timestamp()
          AND NOT EXISTS (SELECT 1 FROM gateway.wedding_vendor_integrations l
                          WHERE l.organization_id = w.organization_id AND l.id = w.link_id
                            AND (l.integration_id = ANY(%(integrations)s::uuid[])
                                 OR l.vendor = ANY(%(vendors)s::text[])))
        ORDER BY lane, created_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED)
    UPDATE gateway.vendor_deliveries d
    SET lease_until = clock_timestamp() + make_interval(secs => %(seconds)s)
    FROM due LEFT JOIN gateway.wedding_vendor_integrations l
      ON l.organization_id = due.organization_id AND l.id = due.link_id
    WHERE d.id = due.id AND d.created_at = due.created_at
    RETURNING d.organization_id, d.wedding_id, d.link_id, d.item_id, d.item_kind, d.lane,
              l.integration_id, l.vendor
""",
)
_GIVE_BACK = text("""
    UPDATE gateway.vendor_deliveries SET lease_until = '-infinity'
    WHERE link_id = :link_id AND item_id = :item_id AND state = 'due'
""")
_ATTEMPT = Statement(
    "attempts",
    """
    UPDATE gateway.vendor_deliveries v
    SET attempts = attempts + 1, started_at = clock_timestamp()
    FROM json_to_recordset(%(rows)s::json) AS a (link_id uuid, item_id uuid)
    WHERE v.link_id = a.link_id AND v.item_id = a.item_id AND v.state = 'due'
    RETURNING v.link_id, v.item_id, v.attempts, v.trace_parent, v.created_at
""",
)
# What was parked for the record before is settled with it.
_CLOSE = Statement(
    "close_deliveries",
    f"""
    WITH {SAVED.format(more="outcome text, reason text, called_at timestamptz, upto bigint")}, closed AS (
        UPDATE gateway.vendor_deliveries v
        SET state = d.outcome, reason = d.reason, cause = '', called_at = d.called_at,
            lease_until = '-infinity', closed_at = clock_timestamp(),
            confirmed_at = CASE WHEN d.called_at IS NULL THEN NULL ELSE clock_timestamp() END
        FROM done d
        WHERE v.link_id = d.link_id AND v.item_id = d.item_id AND v.state IN ('due', 'parked')
          AND v.sequence <= d.upto
    )
    SELECT link_id, item_id FROM done
""",
)
_POSTPONE = text("""
    UPDATE gateway.vendor_deliveries
    SET reason = :reason, cause = :cause, lease_until = '-infinity', attempts = attempts - :untried,
        not_before = clock_timestamp() + make_interval(secs => :seconds)
    WHERE link_id = :link_id AND item_id = :item_id AND state = 'due'
""")
_STOP = text("""
    UPDATE gateway.vendor_deliveries
    SET state = :state, reason = :reason, cause = :cause, lease_until = '-infinity',
        closed_at = clock_timestamp()
    WHERE link_id = :link_id AND item_id = :item_id AND state = 'due'
      AND sequence <= coalesce(CAST(:upto AS bigint), sequence)
""")


@dataclass(frozen=True, slots=True, kw_only=True)
class Commit:
    """One logged change and the state it left its item in, as the sync service hands it over."""

    wedding_id: str
    sequence: int
    change_id: str
    committed_at: datetime
    item: ItemState
    priority: Priority
    trace_parent: str

    @property
    def edits_message(self) -> bool:
        """Whether it changes what was said before, which concerns only those who heard it."""
        return self.item.kind is ItemKind.MESSAGE and self.sequence != self.item.life.revision


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimed:
    """A vendor record that may need a write."""

    key: RecordKey
    kind: ItemKind
    lane: Priority = Priority.NORMAL
    """The most urgent of what is due for it."""
    owner: Owner = NO_OWNER


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One try at bringing a record up to date."""

    number: int
    trace_parent: str


class DeliveryStore:
    """The projection and the deliveries."""

    def __init__(self, database: Database, worker: Database) -> None:
        self._database, self._worker = database, worker
        self._begin = Together[RecordKey, Attempt](self._begin_all)
        self._close = Together[tuple[Held, dict[str, Any]], None](self._close_all)

    async def accept(self, commits: Sequence[Commit]) -> int:
        """Take over commits: projection where newer, one delivery per link; return how many are new.

        Repeating it changes nothing: a delivery's id and time derive from the commit.
        """
        weddings = sorted({commit.wedding_id for commit in commits})
        await self._database.run(_projection_of(commits), weddings=weddings)
        # Only then the links: one that is made meanwhile finds the items, and makes them due itself.
        [links] = await self._worker.run((_LINKS, {"weddings": weddings}))
        organizations = {str(link["organization_id"]) for link in links}
        due = _due_to(commits, links)
        made = await self._database.run(*due, organizations=organizations, weddings=weddings) if due else []
        return sum(map(len, made))

    async def claim(self, limit: int, busy: Busy = NOBODY) -> list[Claimed]:
        """Claim records with due deliveries, the most urgent lane first; none of those who are busy."""
        values = {"limit": limit, "seconds": CLAIM_SECONDS, **passed_by(busy)}
        [claimed] = await self._worker.run((_CLAIM, values))
        urgent = sorted(claimed, key=lambda row: row["lane"], reverse=True)
        return [_claimed(row) for row in {(row["link_id"], row["item_id"]): row for row in urgent}.values()]

    async def give_back(self, claimed: Sequence[Claimed]) -> None:
        """Let records be claimed again at once."""
        async with self._worker.transaction() as conn:
            await conn.execute(_GIVE_BACK, [_names(each.key) for each in claimed])

    async def begin(self, key: RecordKey) -> Attempt:
        """Count one more try of everything due for the record; its trace is the newest commit's."""
        return await self._begin(key)

    async def close(
        self,
        held: Held,
        *,
        state: str,
        reason: str = "",
        shadow: Shadow | None = None,
        intent_id: str | None = None,
        echoed: Sequence[str] = (),
        called_at: datetime | None = None,
    ) -> None:
        """Record the outcome with what the vendor showed, and release the record."""
        outcome = {"outcome": state, "reason": reason, "called_at": called_at, "upto": held.sequence}
        intents = [*echoed, *([intent_id] if intent_id else [])]
        await self._close((held, {**saved_row(held, shadow, intents), **outcome}))

    async def postpone(
        self, key: RecordKey, *, seconds: float, reason: str, cause: str = "", untried: bool = False
    ) -> None:
        """Try again later; `untried` says that the try which was begun does not count."""
        later = {"seconds": seconds, "reason": reason, "cause": cause, "untried": int(untried)}
        async with self._scope(key) as conn:
            await conn.execute(_POSTPONE, {**_names(key), **later})

    async def stop(
        self, key: RecordKey, *, state: str, reason: str, cause: str = "", upto: int | None = None
    ) -> None:
        """Stop trying: until a human looks (`parked`), or for good; what came after `upto` goes on."""
        outcome = {"state": state, "reason": reason, "cause": cause, "upto": upto}
        async with self._scope(key) as conn:
            await conn.execute(_STOP, {**_names(key), **outcome})

    async def _begin_all(self, keys: Sequence[RecordKey]) -> list[Attempt | Exception]:
        [due] = await self._database.run((_ATTEMPT, records(map(_names, keys))), **scope_of(keys))
        of_record: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
        for row in due:
            of_record.setdefault((str(row["link_id"]), str(row["item_id"])), []).append(row)
        return [_attempt(of_record.get((key.link_id, key.item_id), ())) for key in keys]

    async def _close_all(self, closed: Sequence[tuple[Held, dict[str, Any]]]) -> list[Exception | None]:
        all_held = [held for held, _ in closed]
        rows_ = records(row for _, row in closed)
        [done] = await self._database.run((_CLOSE, rows_), **scope_of(held.key for held in all_held))
        return ended(all_held, done)

    def _scope(self, key: RecordKey) -> Any:
        return self._database.transaction(organizations=[key.organization_id], weddings=[key.wedding_id])


def _projection_of(commits: Sequence[Commit]) -> tuple[Statement, dict[str, str]]:
    in_order = sorted(commits, key=lambda commit: commit.sequence)
    newest = {(commit.wedding_id, commit.item.item_id): commit for commit in in_order}
    return _PROJECT, records(map(_projection, newest.values()))


def _due_to(commits: Sequence[Commit], links: Sequence[Any]) -> list[tuple[Statement, dict[str, str]]]:
    """Return what makes a delivery of each commit due for each link of its wedding."""
    statements = []
    # Edits come after what they edit: only then it shows where that is about to be said.
    for statement, edits_message in ((_DUE, False), (_DUE_WHERE_TOLD, True)):
        concerned = [commit for commit in commits if commit.edits_message is edits_message]
        due = [_due(commit, link) for commit in concerned for link in links if _concerns(commit, link)]
        if due:
            statements.append((statement, records(due)))
    return statements


async def deliver_everything(
    conn: AsyncConnection, *, organization_id: str, wedding_id: str, link_id: str, trace_parent: str
) -> None:
    """Make every item of the wedding due for a new link, within the caller's transaction.

    What was said before the link is not said again.
    """
    items = await rows(conn, _EVERYTHING, {"wedding_id": wedding_id, "said_once": ItemKind.MESSAGE})
    names = (organization_id, wedding_id, link_id, trace_parent, Priority.BULK)
    due = [_due_again(row, *names) for row in items]
    if due:
        await conn.exec_driver_sql(_DUE.text, records(due))


def correction_row(key: RecordKey, *, cause: str, at: datetime, trace_parent: str) -> dict[str, Any]:
    """Return what `CORRECT` reads: the cause, as long as it is the same, corrects once."""
    return {
        "correction_id": delivery_id(key.link_id, cause),
        "correction_cause": cause,
        "correction_at": at,
        "correction_trace": trace_parent,
    }


def _attempt(due: Sequence[Mapping[str, Any]]) -> Attempt:
    newest = max(due, key=lambda row: row["created_at"], default=None)
    return Attempt(
        number=max((row["attempts"] for row in due), default=1),
        trace_parent=newest["trace_parent"] if newest else "",
    )


def _due_again(
    row: Any, organization_id: str, wedding_id: str, link_id: str, trace_parent: str, lane: Priority
) -> dict[str, Any]:
    return {
        "id": delivery_id(link_id, str(row["item_id"])),
        "created_at": row["updated_at"],
        "organization_id": organization_id,
        "wedding_id": wedding_id,
        "link_id": link_id,
        "item_id": row["item_id"],
        "item_kind": row["kind"],
        "change_id": None,
        "sequence": row["sequence"],
        "lane": LANES[lane],
        "trace_parent": trace_parent,
    }


def _concerns(commit: Commit, link: Any) -> bool:
    return str(link["wedding_id"]) == commit.wedding_id


def _projection(commit: Commit) -> dict[str, Any]:
    return {
        "wedding_id": commit.wedding_id,
        "item_id": commit.item.item_id,
        "kind": commit.item.kind,
        "sequence": commit.sequence,
        "state": pack(dump_item(commit.item)),
    }


def _due(commit: Commit, link: Any) -> dict[str, Any]:
    return {
        "id": delivery_id(str(link["id"]), commit.change_id),
        "created_at": commit.committed_at,
        "organization_id": link["organization_id"],
        "wedding_id": commit.wedding_id,
        "link_id": link["id"],
        "item_id": commit.item.item_id,
        "item_kind": commit.item.kind,
        "change_id": commit.change_id,
        "sequence": commit.sequence,
        "lane": LANES[commit.priority],
        "trace_parent": commit.trace_parent,
    }


def _claimed(row: Any) -> Claimed:
    known = row["integration_id"] is not None
    owner = Owner(integration_id=str(row["integration_id"]), vendor=row["vendor"]) if known else NO_OWNER
    lane = list(LANES)[row["lane"]]
    return Claimed(key=_key(row), kind=ItemKind(row["item_kind"]), lane=lane, owner=owner)


def _key(row: Any) -> RecordKey:
    return RecordKey(
        organization_id=str(row["organization_id"]),
        wedding_id=str(row["wedding_id"]),
        link_id=str(row["link_id"]),
        item_id=str(row["item_id"]),
    )


def _names(key: RecordKey) -> dict[str, Any]:
    return {"link_id": key.link_id, "item_id": key.item_id}
