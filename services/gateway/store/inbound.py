"""What came in: the webhook log, the keys of known deliveries, and the changes they became."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from operator import itemgetter
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from services.gateway.observe import Observation
from services.gateway.records import NOBODY, Busy, Link, Owner, Shadow
from services.gateway.store import inbound_sql as sql
from services.gateway.store.blobs import pack
from services.gateway.store.deliveries import correction_row
from services.gateway.store.doubts import doubt_delete
from services.gateway.store.leases import Held, ended, saved_row, scope_of
from services.gateway.store.sql import CLAIM_SECONDS, passed_by, records
from wedsync.model.changes import Change, ChangeKind
from wedsync.model.codec import dump_change
from wedsync.model.ids import change_id, new_id
from wedsync.runtime.database import Database
from wedsync.runtime.envelope import seal, unseal
from wedsync.runtime.together import Together


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Whose webhooks an endpoint key belongs to."""

    organization_id: str
    integration_id: str
    vendor: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """What is to be accepted.

    With `ignored` or `parked`, the reason, it is kept for the record or for a human instead of worked on.
    """

    webhook_id: str
    endpoint: Endpoint
    body: bytes
    trace_parent: str
    detected_at: datetime
    delivery_key: str | None = None
    origin: str = "webhook"
    event_name: str = ""
    """What it tells of, in the vendor's words."""
    ignored: str = ""
    parked: str = ""
    wakes: Sequence[str] = ()
    """The links to be scanned at once: it came by their channels, and says only that something moved."""
    reason: str = ""
    """Why it waits, where it does."""
    cause: str = ""
    """Why it failed, in a word."""
    link_id: str | None = None
    record_id: str | None = None
    """Where it is about one record of one link."""
    parent_id: str | None = None
    """The webhook it was replayed from or set apart from."""
    wait_seconds: float = 0.0
    """How long it is left alone, where it was set apart."""
    links: Sequence[Link] | None = None
    """What it may be about, where that is known already."""

    @property
    def waits(self) -> bool:
        """Whether it is to be worked on."""
        return not self.ignored and not self.parked


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """A webhook as it was accepted."""

    webhook_id: str
    accepted_at: datetime
    organization_id: str
    integration_id: str
    vendor: str
    body: bytes
    attempts: int
    trace_parent: str
    wakes: Sequence[str] = ()
    """The links to be scanned at once."""
    link_id: str | None = None
    record_id: str | None = None
    """Where it is about one record of one link."""
    parent_id: str | None = None
    """The webhook it was replayed from or set apart from."""
    links: Sequence[Link] | None = None
    """What it may be about, where that was found as it came."""

    @property
    def owner(self) -> Owner:
        """Whose it is."""
        return Owner(integration_id=self.integration_id, vendor=self.vendor)


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """What became of an arrival."""

    known_as: str
    """Its own id, or the id of the webhook that brought the same delivery first."""
    taken: Received | None = None
    """The webhook, where it was claimed for the caller."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """Why a record is looked at: the webhook or poll, when, and the trace it belongs to."""

    trace_parent: str
    detected_at: datetime
    webhook_id: str | None = None
    backfill: bool = False
    """Everything is looked at: what comes of it travels behind what people do now."""
    alone: bool = False
    """The webhook, accepted when it was detected, is about nothing else: it is through with it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Activity:
    """A translated change on its way to the sync service."""

    organization_id: str
    wedding_id: str
    link_id: str
    item_id: str
    change: Change
    attempts: int
    backfill: bool = False
    shadow: Shadow | None = None
    """What its record showed as it was committed, where that is known."""


@dataclass(frozen=True, slots=True)
class _End:
    """What became of a webhook."""

    webhook: Received
    state: str
    reason: str = ""
    cause: str = ""

    @property
    def row(self) -> dict[str, Any]:
        return {**_place(self.webhook), "state": self.state, "reason": self.reason, "cause": self.cause}


@dataclass(frozen=True, slots=True)
class _Seen:
    """What a look at a record brought, to be committed."""

    held: Held
    observation: Observation
    change: Change | None
    cause: Cause
    echoed: Sequence[str]
    again: bool
    taken: bool
    why_nothing: str


class InboundStore:
    """The webhook log and the changes made of it."""

    def __init__(self, database: Database, worker: Database) -> None:
        self._database, self._worker = database, worker
        self._served = new_id()  # whose webhook was claimed last: behind it the turns go on
        self._finish = Together[_End, None](self._finish_all)
        self._commit = Together[_Seen, None](self._commit_all)

    async def accept(self, arrivals: Sequence[Arrival], *, room: int = 0) -> list[Accepted]:
        """Commit webhooks to the log in one transaction; return what became of each.

        As many of those that are to be worked on as there is `room` for are claimed for the caller.
        """
        organizations = {arrival.endpoint.organization_id for arrival in arrivals}
        rows_ = _arrival_rows(arrivals, taken=room)
        [known] = await self._database.run((sql.ACCEPT, rows_), organizations=organizations)
        left = itertools.count(room, -1)
        return [
            _accepted(arrival, row, taken=arrival.waits and next(left) > 0)
            for arrival, row in zip(arrivals, known, strict=True)
        ]

    async def set_apart(
        self, arrivals: Sequence[Arrival], *, done: Received | None = None, reason: str = ""
    ) -> None:
        """Have records worked on by themselves, unless they are already; the webhook `done` is through."""
        organizations = {arrival.endpoint.organization_id for arrival in arrivals}
        async with self._database.transaction(organizations=organizations) as conn:
            await conn.execute(sql.SET_APART, [_arrival_row(arrival) for arrival in arrivals])
            if done is not None:
                await conn.exec_driver_sql(sql.FINISH.text, records([_End(done, "processed", reason).row]))

    async def claim(self, limit: int, busy: Busy = NOBODY) -> list[Received]:
        """Claim webhooks that wait for translation; none of those who are busy.

        The accounts have their turns, and of each the oldest go first.
        """
        claimed: list[Received] = []
        more = True
        while more and len(claimed) < limit:
            found = await self._claimed(limit - len(claimed), busy)
            claimed += await self._loaded(found)
            more = any(row["more"] for row in found)
        return claimed

    async def _claimed(self, limit: int, busy: Busy) -> Sequence[Mapping[str, Any]]:
        values = {"limit": limit, "seconds": CLAIM_SECONDS, "served": self._served, **passed_by(busy)}
        [found] = await self._worker.run((sql.CLAIM, values))
        if found:
            self._served = str(max(found, key=itemgetter("turn"))["integration_id"])
        return found

    async def _loaded(self, claimed: Sequence[Mapping[str, Any]]) -> list[Received]:
        if not claimed:
            return []
        organizations = {str(row["organization_id"]) for row in claimed}
        ids, since = [str(row["id"]) for row in claimed], min(row["accepted_at"] for row in claimed)
        [loaded] = await self._database.run(
            (sql.LOAD, {"ids": ids, "since": since}), organizations=organizations
        )
        return [_received(row) for row in loaded]

    async def finish(self, webhook: Received, *, state: str, reason: str = "", cause: str = "") -> None:
        """Say what became of a webhook."""
        await self._finish(_End(webhook, state, reason, cause))

    async def postpone(
        self, webhook: Received, *, seconds: float, reason: str, cause: str = "", untried: bool = False
    ) -> None:
        """Try a webhook again later; `untried` says that this try does not count."""
        later = {"seconds": seconds, "reason": reason, "cause": cause, "untried": int(untried)}
        async with self._database.transaction(organizations=[webhook.organization_id]) as conn:
            await conn.execute(sql.POSTPONE, {**_place(webhook), **later})

    async def commit_observation(
        self,
        held: Held,
        observation: Observation,
        change: Change | None,
        cause: Cause,
        echoed: Sequence[str],
        *,
        again: bool = False,
        taken: bool = False,
        why_nothing: str = "",
    ) -> None:
        """Commit shadow and translated change together, before anything is sent, and release the record.

        With `again` the record is made due: an old write of ours has landed late; with `taken` the change is
        claimed for the caller. A webhook that caused it `alone` has ended with it, and `why_nothing` says
        why it became no change. Raises `TooManyDeletes`.
        """
        seen = _Seen(held, observation, change, cause, echoed, again, taken, why_nothing)
        if change is None or change.kind is not ChangeKind.DELETE:
            await self._commit(seen)
            return
        # Several deletes at a time are counted one after the other.
        async with self._database.transaction(**scope_of([held.key])) as conn:
            await doubt_delete(conn, held.key.link_id)
            done = await conn.exec_driver_sql(sql.COMMIT.text, records([_seen_row(seen)]))
            [outcome] = ended([held], [dict(row) for row in done.mappings()])
            if outcome is not None:
                raise outcome

    async def _finish_all(self, ends: Sequence[_End]) -> list[Exception | None]:
        organizations = {end.webhook.organization_id for end in ends}
        rows = records(end.row for end in ends)
        await self._database.run((sql.FINISH, rows), organizations=organizations)
        return [None] * len(ends)

    async def _commit_all(self, seen: Sequence[_Seen]) -> list[Exception | None]:
        all_held = [each.held for each in seen]
        scope = scope_of(held.key for held in all_held)
        [done] = await self._database.run((sql.COMMIT, records(map(_seen_row, seen))), **scope)
        return ended(all_held, done)


async def keep_arrivals(conn: AsyncConnection, arrivals: Sequence[Arrival]) -> list[str]:
    """Keep what is new within the caller's transaction; return the id each delivery is known by."""
    known = await conn.exec_driver_sql(sql.ACCEPT.text, _arrival_rows(arrivals))
    return [str(row["known_as"] or "") for row in known.mappings()]


def _arrival_rows(arrivals: Sequence[Arrival], *, taken: int = 0) -> dict[str, str]:
    left = itertools.count(taken, -1)
    return records(
        {"place": place, **_arrival_row(arrival), "taken": arrival.waits and next(left) > 0}
        for place, arrival in enumerate(arrivals)
    )


def _accepted(arrival: Arrival, row: Mapping[str, Any], *, taken: bool) -> Accepted:
    if not taken or row["accepted_at"] is None:
        return Accepted(known_as=str(row["known_as"] or ""))
    received = Received(
        webhook_id=arrival.webhook_id,
        accepted_at=row["accepted_at"],
        organization_id=arrival.endpoint.organization_id,
        integration_id=arrival.endpoint.integration_id,
        vendor=arrival.endpoint.vendor,
        body=arrival.body,
        attempts=1,
        trace_parent=arrival.trace_parent,
        wakes=arrival.wakes,
        link_id=arrival.link_id,
        record_id=arrival.record_id,
        parent_id=arrival.parent_id,
        links=arrival.links,
    )
    return Accepted(known_as=arrival.webhook_id, taken=received)


def _owner(arrival: Arrival) -> dict[str, Any]:
    endpoint = arrival.endpoint
    return {"organization_id": endpoint.organization_id, "integration_id": endpoint.integration_id}


def _arrival_row(arrival: Arrival) -> dict[str, Any]:
    return {
        **_owner(arrival),
        "id": arrival.webhook_id,
        "vendor": arrival.endpoint.vendor,
        "origin": arrival.origin,
        "delivery_key": arrival.delivery_key,
        "body": seal(arrival.body),
        "event_name": arrival.event_name,
        "state": "parked" if arrival.parked else "processed" if arrival.ignored else "received",
        "reason": arrival.parked or arrival.ignored or arrival.reason,
        "trace_parent": arrival.trace_parent,
        "detected_at": arrival.detected_at,
        "wakes": list(arrival.wakes),
        "cause": arrival.cause,
        "link_id": arrival.link_id,
        "record_id": arrival.record_id,
        "parent_id": arrival.parent_id,
        "wait_seconds": arrival.wait_seconds,
    }


def _place(webhook: Received) -> dict[str, Any]:
    return {"id": webhook.webhook_id, "accepted_at": webhook.accepted_at}


def _received(row: Mapping[Any, Any]) -> Received:
    return Received(
        webhook_id=str(row["id"]),
        accepted_at=row["accepted_at"],
        organization_id=str(row["organization_id"]),
        integration_id=str(row["integration_id"]),
        vendor=row["vendor"],
        body=unseal(row["body"]).payload,
        attempts=row["attempts"],
        trace_parent=row["trace_parent"],
        wakes=tuple(map(str, row["wakes"])),
        link_id=str(row["link_id"]) if row["link_id"] else None,
        record_id=row["record_id"],
        parent_id=str(row["parent_id"]) if row["parent_id"] else None,
    )


def _seen_row(seen: _Seen) -> dict[str, Any]:
    held, shadow, cause, change = seen.held, seen.observation.shadow, seen.cause, seen.change
    return {
        **saved_row(held, shadow, seen.echoed),
        "change_id": change.change_id if change else None,
        "webhook_id": cause.webhook_id,
        "change": pack(dump_change(change)) if change else None,
        "trace_parent": change.trace_parent if change else cause.trace_parent,
        "detected_at": cause.detected_at,
        "backfill": cause.backfill,
        "deletes": change is not None and change.kind is ChangeKind.DELETE,
        "taken": seen.taken,
        "ends": cause.alone,
        "why_nothing": seen.why_nothing,
        # What waits of a record is known from its lease on.
        "hurries": change is not None and held.pending and not cause.backfill,
        **(_correction(held, seen) if seen.again else {}),
    }


def _correction(held: Held, seen: _Seen) -> dict[str, Any]:
    told = change_id(held.key.link_id, held.key.item_id, seen.observation.shadow.generation)
    return correction_row(
        held.key, cause=told, at=seen.cause.detected_at, trace_parent=seen.cause.trace_parent
    )
