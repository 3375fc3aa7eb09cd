"""What must go out: the projection of the truth, and the deliveries that are due."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from services.gateway.records import NO_OWNER, NOBODY, Busy, Link, Owner, RecordKey, Shadow
from services.gateway.store import deliveries_sql as sql
from services.gateway.store.blobs import pack
from services.gateway.store.leases import Held, ended, saved_row, scope_of
from services.gateway.store.link_rows import LINKS_BY_ID, link_from
from services.gateway.store.sql import CLAIM_SECONDS, passed_by, records, rows
from wedsync.model.changes import ItemState, Priority
from wedsync.model.codec import dump_item
from wedsync.model.ids import delivery_id
from wedsync.model.items import ItemKind
from wedsync.runtime.database import Database
from wedsync.runtime.round_trip import Statement
from wedsync.runtime.together import Together


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
    link: Link | None = None
    """Its link, where that was found as it became due."""
    attempt: int = 1
    """Which try at bringing it up to date this is."""
    trace_parent: str = ""
    """Of the newest commit that is due for it."""

    @property
    def urgency(self) -> int:
        """Return what sorts it: the most urgent lane is 0."""
        return sql.LANES[self.lane]


@dataclass(frozen=True, slots=True)
class _Due:
    """A commit that a link is to hear of."""

    commit: Commit
    organization_id: str
    link_id: str

    @property
    def name(self) -> str:
        return delivery_id(self.link_id, self.commit.change_id)

    @property
    def key(self) -> RecordKey:
        return RecordKey(
            organization_id=self.organization_id,
            wedding_id=self.commit.wedding_id,
            link_id=self.link_id,
            item_id=self.commit.item.item_id,
        )


class DeliveryStore:
    """The projection and the deliveries."""

    def __init__(self, database: Database, worker: Database) -> None:
        self._database, self._worker = database, worker
        self._close = Together[tuple[Held, dict[str, Any]], None](self._close_all)
        self._postpone = Together[tuple[RecordKey, dict[str, Any]], None](self._postpone_all)

    async def accept(self, commits: Sequence[Commit], *, room: int = 0) -> list[Claimed | None]:
        """Take over commits: projection where newer, one delivery per link. Return the records now due.

        The link that a change came from is told only where its record may not show what the wedding has.

        They are claimed for the caller if there is `room` for all; else a None stands for each delivery.
        Repeating it changes nothing: a delivery's id and time derive from the commit.
        """
        weddings = sorted({commit.wedding_id for commit in commits})
        await self._database.run(_projection_of(commits), weddings=weddings)
        # Only then the links: one that is made meanwhile finds the items, and makes them due itself.
        [places] = await self._worker.run((sql.LINKS, {"weddings": weddings}))
        due = _due_to(commits, places)
        if not due:
            return []
        taken = len(due) <= room
        organizations = {each.organization_id for each in due}
        names = {"organizations": list(organizations), "ids": list({each.link_id for each in due})}
        found, *made = await self._database.run(
            (LINKS_BY_ID, names), *_made_due(due, taken=taken), organizations=organizations, weddings=weddings
        )
        new = {str(row["id"]) for rows_ in made for row in rows_}
        if not taken:
            return [None] * len(new)
        links = {link.link_id: link for link in map(link_from, found)}
        return [*_by_record(_taken(each, links.get(each.link_id)) for each in due if each.name in new)]

    async def claim(self, limit: int, busy: Busy = NOBODY) -> list[Claimed]:
        """Claim records with due deliveries, the most urgent lane first; none of those who are busy."""
        values = {"limit": limit, "seconds": CLAIM_SECONDS, **passed_by(busy)}
        [claimed] = await self._worker.run((sql.CLAIM, values))
        return _by_record(map(_claimed, sorted(claimed, key=lambda row: row["created_at"])))

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
        await self._postpone((key, later))

    async def stop(
        self, key: RecordKey, *, state: str, reason: str, cause: str = "", upto: int | None = None
    ) -> None:
        """Stop trying: until a human looks (`parked`), or for good; what came after `upto` goes on."""
        outcome = {"state": state, "reason": reason, "cause": cause, "upto": upto}
        await self._database.run((sql.STOP, records([{**_names(key), **outcome}])), **scope_of([key]))

    async def _close_all(self, closed: Sequence[tuple[Held, dict[str, Any]]]) -> list[Exception | None]:
        all_held = [held for held, _ in closed]
        rows_ = records(row for _, row in closed)
        [done] = await self._database.run((sql.CLOSE, rows_), **scope_of(held.key for held in all_held))
        return ended(all_held, done)

    async def _postpone_all(
        self, put_off: Sequence[tuple[RecordKey, dict[str, Any]]]
    ) -> list[Exception | None]:
        rows_ = records({**_names(key), **later} for key, later in put_off)
        await self._database.run((sql.POSTPONE, rows_), **scope_of(key for key, _ in put_off))
        return [None] * len(put_off)


def _projection_of(commits: Sequence[Commit]) -> tuple[Statement, dict[str, str]]:
    in_order = sorted(commits, key=lambda commit: commit.sequence)
    newest = {(commit.wedding_id, commit.item.item_id): commit for commit in in_order}
    return sql.PROJECT, records(map(_projection, newest.values()))


def _due_to(commits: Sequence[Commit], places: Sequence[Mapping[str, Any]]) -> list[_Due]:
    """Return what each link of the commits' weddings is to hear of, in the order of the commits."""
    links: dict[str, list[tuple[str, str]]] = {}
    for row in places:
        link = str(row["organization_id"]), str(row["id"])
        links.setdefault(str(row["wedding_id"]), []).append(link)
    in_order = sorted(commits, key=lambda commit: commit.sequence)
    return [_Due(commit, *link) for commit in in_order for link in links.get(commit.wedding_id, ())]


def _made_due(due: Sequence[_Due], *, taken: bool) -> list[tuple[Statement, dict[str, str]]]:
    # Edits come after what they edit: only then it shows where that is about to be said.
    parts = [
        (statement, [each for each in due if each.commit.edits_message is edits])
        for statement, edits in ((sql.DUE, False), (sql.DUE_WHERE_TOLD, True))
    ]
    return [
        (statement, records(_due_row(each, taken=taken) for each in part))
        for statement, part in parts
        if part
    ]


async def deliver_everything(
    conn: AsyncConnection, *, organization_id: str, wedding_id: str, link_id: str, trace_parent: str
) -> None:
    """Make every item of the wedding due for a new link, within the caller's transaction.

    What was said before the link is not said again.
    """
    items = await rows(conn, sql.EVERYTHING, {"wedding_id": wedding_id, "said_once": ItemKind.MESSAGE})
    names = (organization_id, wedding_id, link_id, trace_parent, Priority.BULK)
    due = [_due_again(row, *names) for row in items]
    if due:
        await conn.exec_driver_sql(sql.DUE.text, records(due))


def correction_row(key: RecordKey, *, cause: str, at: datetime, trace_parent: str) -> dict[str, Any]:
    """Return what `sql.CORRECT` reads: the cause, as long as it is the same, corrects once."""
    return {
        "correction_id": delivery_id(key.link_id, cause),
        "correction_cause": cause,
        "correction_at": at,
        "correction_trace": trace_parent,
    }


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
        "lane": sql.LANES[lane],
        "trace_parent": trace_parent,
        "taken": False,
    }


def _projection(commit: Commit) -> dict[str, Any]:
    return {
        "wedding_id": commit.wedding_id,
        "item_id": commit.item.item_id,
        "kind": commit.item.kind,
        "sequence": commit.sequence,
        "state": pack(dump_item(commit.item)),
    }


def _due_row(due: _Due, *, taken: bool) -> dict[str, Any]:
    commit = due.commit
    return {
        "id": due.name,
        "created_at": commit.committed_at,
        "organization_id": due.organization_id,
        "wedding_id": commit.wedding_id,
        "link_id": due.link_id,
        "item_id": commit.item.item_id,
        "item_kind": commit.item.kind,
        "change_id": commit.change_id,
        "sequence": commit.sequence,
        "lane": sql.LANES[commit.priority],
        "trace_parent": commit.trace_parent,
        "taken": taken,
    }


def _taken(due: _Due, link: Link | None) -> Claimed:
    return Claimed(
        key=due.key,
        kind=due.commit.item.kind,
        lane=due.commit.priority,
        owner=link.owner if link else NO_OWNER,
        link=link,
        trace_parent=due.commit.trace_parent,
    )


def _claimed(row: Any) -> Claimed:
    known = row["integration_id"] is not None
    return Claimed(
        key=_key(row),
        kind=ItemKind(row["item_kind"]),
        lane=list(sql.LANES)[row["lane"]],
        owner=Owner(integration_id=str(row["integration_id"]), vendor=row["vendor"]) if known else NO_OWNER,
        attempt=row["attempts"],
        trace_parent=row["trace_parent"],
    )


def _by_record(claimed: Iterable[Claimed]) -> list[Claimed]:
    """Return each record once, from what is due for it, the oldest first: all of that is done at once."""
    of_record: dict[RecordKey, Claimed] = {}
    for each in claimed:
        before = of_record.get(each.key, each)
        lane, attempt = min(before, each, key=lambda one: one.urgency).lane, max(before.attempt, each.attempt)
        of_record[each.key] = replace(each, lane=lane, attempt=attempt)
    return sorted(of_record.values(), key=lambda one: one.urgency)


def _key(row: Any) -> RecordKey:
    return RecordKey(
        organization_id=str(row["organization_id"]),
        wedding_id=str(row["wedding_id"]),
        link_id=str(row["link_id"]),
        item_id=str(row["item_id"]),
    )


def _names(key: RecordKey) -> dict[str, Any]:
    return {"link_id": key.link_id, "item_id": key.item_id}
