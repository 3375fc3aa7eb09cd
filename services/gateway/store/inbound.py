"""What came in: the webhook log, the keys of known deliveries, and the changes they became."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.gateway.observe import Observation
from services.gateway.records import NOBODY, Busy, Owner
from services.gateway.store.blobs import pack
from services.gateway.store.deliveries import deliver_again
from services.gateway.store.doubts import doubt_delete
from services.gateway.store.leases import Held, confirm_intents, release, save_shadow
from services.gateway.store.sql import CLAIM_SECONDS, first, passed_by, rows
from wedsync.model.changes import Change, ChangeKind
from wedsync.model.codec import dump_change
from wedsync.model.ids import change_id
from wedsync.runtime.database import Database
from wedsync.runtime.envelope import seal, unseal

_ENDPOINT = text("SELECT * FROM gateway.resolve_endpoint(:hash)")
_KEY = text("""
    INSERT INTO gateway.delivery_keys (organization_id, integration_id, key, webhook_id)
    VALUES (:organization_id, :integration_id, :key, :webhook_id)
    ON CONFLICT (integration_id, key)
    DO UPDATE SET repeats = delivery_keys.repeats + 1, last_repeat_at = clock_timestamp()
    RETURNING webhook_id
""")
_ACCEPT = text("""
    INSERT INTO gateway.webhook_log
        (id, accepted_at, organization_id, integration_id, vendor, origin, delivery_key, body, state, reason,
         trace_parent, detected_at, event_name, wakes, cause, link_id, record_id, parent_id)
    VALUES (:id, clock_timestamp(), :organization_id, :integration_id, :vendor, :origin, :delivery_key, :body,
            :state, :reason, :trace_parent, :detected_at, :event_name, CAST(:wakes AS uuid[]), :cause,
            :link_id, :record_id, :parent_id)
""")
# A record that waits already will be read then, and one that is parked for the same reason is known; one
# that is just being read may have been read too early.
_SET_APART = text("""
    INSERT INTO gateway.webhook_log
        (id, accepted_at, organization_id, integration_id, vendor, origin, body, state, reason, trace_parent,
         detected_at, cause, link_id, record_id, parent_id, attempts, not_before)
    SELECT CAST(:id AS uuid), clock_timestamp(), :organization_id, CAST(:integration_id AS uuid), :vendor,
           :origin, CAST(:body AS bytea), :state, :reason, :trace_parent, CAST(:detected_at AS timestamptz),
           :cause, CAST(:link_id AS uuid), :record_id, CAST(:parent_id AS uuid), 1,
           clock_timestamp() + make_interval(secs => :wait_seconds)
    WHERE NOT EXISTS (
        SELECT 1 FROM gateway.webhook_log
        WHERE link_id = CAST(:link_id AS uuid) AND record_id = :record_id
          AND ((state = 'received' AND lease_until < clock_timestamp())
               OR (state = 'parked' AND reason = :reason)))
""")
_CLAIM = text("""
    UPDATE gateway.webhook_log w
    SET lease_until = clock_timestamp() + make_interval(secs => :seconds), attempts = attempts + 1
    FROM (SELECT id, accepted_at FROM gateway.webhook_log
          WHERE state = 'received' AND not_before <= clock_timestamp() AND lease_until < clock_timestamp()
            AND integration_id <> ALL(CAST(:integrations AS uuid[]))
            AND vendor <> ALL(CAST(:vendors AS text[]))
          ORDER BY accepted_at LIMIT :limit FOR UPDATE SKIP LOCKED) due
    WHERE w.id = due.id AND w.accepted_at = due.accepted_at
    RETURNING w.id, w.accepted_at, w.organization_id
""")
_GIVE_BACK = text("""
    UPDATE gateway.webhook_log SET lease_until = '-infinity', attempts = attempts - 1
    WHERE id = :id AND accepted_at = :accepted_at AND state = 'received'
""")
_LOAD = text("""
    SELECT id, accepted_at, organization_id, integration_id, vendor, body, attempts, trace_parent, wakes,
           link_id, record_id, parent_id
    FROM gateway.webhook_log WHERE id = ANY(:ids) AND accepted_at >= :since ORDER BY accepted_at
""")
_FINISH = text("""
    UPDATE gateway.webhook_log
    SET state = :state, reason = :reason, cause = :cause, translated_at = clock_timestamp(),
        lease_until = '-infinity'
    WHERE id = :id AND accepted_at = :accepted_at
""")
_POSTPONE = text("""
    UPDATE gateway.webhook_log
    SET reason = :reason, cause = :cause, lease_until = '-infinity', attempts = attempts - :untried,
        not_before = clock_timestamp() + make_interval(secs => :seconds)
    WHERE id = :id AND accepted_at = :accepted_at
""")
_ACTIVITY = text("""
    INSERT INTO gateway.vendor_activities
        (id, organization_id, wedding_id, link_id, item_id, record_id, generation, webhook_id, change, state,
         trace_parent, detected_at, backfill, deletes)
    VALUES (:id, :organization_id, :wedding_id, :link_id, :item_id, :record_id, :generation, :webhook_id,
            :change, 'pending', :trace_parent, :detected_at, :backfill, :deletes)
""")
# Changes of a record go in order: what waits before an edit of now is in nobody's way, and goes with it.
_HURRY = text("""
    UPDATE gateway.vendor_activities SET backfill = false
    WHERE link_id = :link_id AND item_id = :item_id AND state = 'pending' AND backfill
""")


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

    @property
    def owner(self) -> Owner:
        """Whose it is."""
        return Owner(integration_id=self.integration_id, vendor=self.vendor)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """Why a record is looked at: the webhook or poll, when, and the trace it belongs to."""

    trace_parent: str
    detected_at: datetime
    webhook_id: str | None = None
    backfill: bool = False
    """Everything is looked at: what comes of it travels behind what people do now."""


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


class InboundStore:
    """The webhook log and the changes made of it."""

    def __init__(self, database: Database, worker: Database) -> None:
        self._database, self._worker = database, worker

    async def endpoint(self, key_hash: bytes) -> Endpoint | None:
        """Return whose endpoint this is, None for an unknown key."""
        async with self._database.transaction() as conn:
            row = await first(conn, _ENDPOINT, {"hash": key_hash})
        if row is None:
            return None
        return Endpoint(
            organization_id=str(row["organization_id"]),
            integration_id=str(row["integration_id"]),
            vendor=row["vendor"],
        )

    async def accept(self, arrivals: Sequence[Arrival]) -> list[str]:
        """Commit webhooks to the log in one transaction; return the id each delivery is known by.

        That is the arrival's own id, or the id of the webhook that brought the same delivery first.
        """
        organizations = {arrival.endpoint.organization_id for arrival in arrivals}
        async with self._database.transaction(organizations=organizations) as conn:
            return await keep_arrivals(conn, arrivals)

    async def set_apart(
        self, arrivals: Sequence[Arrival], *, done: Received | None = None, reason: str = ""
    ) -> None:
        """Have records worked on by themselves, unless they are already; the webhook `done` is through."""
        organizations = {arrival.endpoint.organization_id for arrival in arrivals}
        async with self._database.transaction(organizations=organizations) as conn:
            await conn.execute(_SET_APART, [_arrival_row(arrival) for arrival in arrivals])
            if done is not None:
                outcome = {"state": "processed", "reason": reason, "cause": ""}
                await conn.execute(_FINISH, {**_place(done), **outcome})

    async def claim(self, limit: int, busy: Busy = NOBODY) -> list[Received]:
        """Claim webhooks that wait for translation, oldest first; none of those who are busy."""
        values = {"limit": limit, "seconds": CLAIM_SECONDS, **passed_by(busy)}
        async with self._worker.transaction() as conn:
            claimed = await rows(conn, _CLAIM, values)
        if not claimed:
            return []
        organizations = {str(row["organization_id"]) for row in claimed}
        places = {"ids": [row["id"] for row in claimed], "since": min(row["accepted_at"] for row in claimed)}
        async with self._database.transaction(organizations=organizations) as conn:
            return [_received(row) for row in await rows(conn, _LOAD, places)]

    async def give_back(self, webhooks: Sequence[Received]) -> None:
        """Let webhooks be claimed again at once."""
        async with self._worker.transaction() as conn:
            await conn.execute(_GIVE_BACK, [_place(webhook) for webhook in webhooks])

    async def finish(self, webhook: Received, *, state: str, reason: str = "", cause: str = "") -> None:
        """Say what became of a webhook."""
        async with self._database.transaction(organizations=[webhook.organization_id]) as conn:
            outcome = {"state": state, "reason": reason, "cause": cause}
            await conn.execute(_FINISH, {**_place(webhook), **outcome})

    async def postpone(
        self, webhook: Received, *, seconds: float, reason: str, cause: str = "", untried: bool = False
    ) -> None:
        """Try a webhook again later; `untried` says that this try does not count."""
        later = {"seconds": seconds, "reason": reason, "cause": cause, "untried": int(untried)}
        async with self._database.transaction(organizations=[webhook.organization_id]) as conn:
            await conn.execute(_POSTPONE, {**_place(webhook), **later})

    async def commit_observation(
        self,
        held: Held,
        observation: Observation,
        change: Change | None,
        cause: Cause,
        echoed: Sequence[str],
        *,
        again: bool = False,
    ) -> None:
        """Commit shadow and translated change together, before anything is sent, and release the record.

        With `again` the record is made due: an old write of ours has landed late. Raises `TooManyDeletes`.
        """
        key = held.key
        async with self._database.transaction(
            organizations=[key.organization_id], weddings=[key.wedding_id]
        ) as conn:
            if change is not None and change.kind is ChangeKind.DELETE:
                await doubt_delete(conn, key.link_id)
            await save_shadow(conn, held, observation.shadow)
            await confirm_intents(conn, held, echoed)
            if change is not None:
                if not cause.backfill:
                    await conn.execute(_HURRY, {"link_id": key.link_id, "item_id": key.item_id})
                await conn.execute(_ACTIVITY, _activity_row(held, observation, change, cause))
            if again:
                shadow = observation.shadow
                await deliver_again(
                    conn,
                    key,
                    kind=shadow.kind,
                    cause=change_id(key.link_id, key.item_id, shadow.generation),
                    at=cause.detected_at,
                    trace_parent=cause.trace_parent,
                )
            await release(conn, held)


async def keep_arrivals(conn: AsyncConnection, arrivals: Sequence[Arrival]) -> list[str]:
    """Keep what is new within the caller's transaction; return the id each delivery is known by."""
    known = [await _known_as(conn, arrival) for arrival in arrivals]
    pairs = zip(arrivals, known, strict=True)
    fresh = [_arrival_row(arrival) for arrival, as_ in pairs if as_ == arrival.webhook_id]
    if fresh:
        await conn.execute(_ACCEPT, fresh)
    return known


async def _known_as(conn: AsyncConnection, arrival: Arrival) -> str:
    if arrival.delivery_key is None:
        return arrival.webhook_id
    key = {**_owner(arrival), "key": arrival.delivery_key, "webhook_id": arrival.webhook_id}
    [row] = await rows(conn, _KEY, key)
    return str(row["webhook_id"] or "")


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


def _activity_row(held: Held, observation: Observation, change: Change, cause: Cause) -> dict[str, Any]:
    return {
        "id": change.change_id,
        "organization_id": held.key.organization_id,
        "wedding_id": held.key.wedding_id,
        "link_id": held.key.link_id,
        "item_id": held.key.item_id,
        "record_id": observation.shadow.record_id,
        "generation": observation.shadow.generation,
        "webhook_id": cause.webhook_id,
        "change": pack(dump_change(change)),
        "trace_parent": change.trace_parent,
        "detected_at": cause.detected_at,
        "backfill": cause.backfill,
        "deletes": change.kind is ChangeKind.DELETE,
    }
