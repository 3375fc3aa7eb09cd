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
from services.gateway.store.deliveries import CORRECT, CORRECTION, correction_row
from services.gateway.store.doubts import doubt_delete
from services.gateway.store.leases import SAVED, Held, ended, saved_row, scope_of
from services.gateway.store.sql import CLAIM_SECONDS, passed_by, records
from wedsync.model.changes import Change, ChangeKind
from wedsync.model.codec import dump_change
from wedsync.model.ids import change_id
from wedsync.runtime.database import Database
from wedsync.runtime.envelope import seal, unseal
from wedsync.runtime.round_trip import Statement
from wedsync.runtime.together import Together

_ENDPOINTS = Statement(
    "endpoints",
    """
    SELECT asked.hash, e.organization_id, e.integration_id, e.vendor
    FROM unnest(%(hashes)s::bytea[]) AS asked (hash)
    CROSS JOIN LATERAL gateway.resolve_endpoint(asked.hash) e
""",
)
# A delivery that comes twice in one batch is kept once, like one that is known.
_ACCEPT = Statement(
    "accept_webhooks",
    """
    WITH asked AS MATERIALIZED (
        SELECT * FROM json_to_recordset(%(rows)s::json) AS r
            (place int, id uuid, organization_id text, integration_id uuid, vendor text, origin text,
             delivery_key text, body text, state text, reason text, trace_parent text,
             detected_at timestamptz, event_name text, wakes uuid[], cause text, link_id uuid,
             record_id text, parent_id uuid)
    ), firsts AS (
        SELECT DISTINCT ON (integration_id, delivery_key) organization_id, integration_id, delivery_key, id,
               count(*) OVER (PARTITION BY integration_id, delivery_key) - 1 AS repeats
        FROM asked WHERE delivery_key IS NOT NULL ORDER BY integration_id, delivery_key, place
    ), keys AS (
        INSERT INTO gateway.delivery_keys AS k
            (organization_id, integration_id, key, webhook_id, repeats, last_repeat_at)
        SELECT organization_id, integration_id, delivery_key, id, repeats,
               CASE WHEN repeats > 0 THEN clock_timestamp() END
        FROM firsts ORDER BY integration_id, delivery_key
        ON CONFLICT (integration_id, key)
        DO UPDATE SET repeats = k.repeats + excluded.repeats + 1, last_repeat_at = clock_timestamp()
        RETURNING integration_id, key, webhook_id
    ), known AS (
        SELECT a.*, CASE WHEN a.delivery_key IS NULL THEN a.id ELSE k.webhook_id END AS known_as
        FROM asked a LEFT JOIN keys k ON k.integration_id = a.integration_id AND k.key = a.delivery_key
    ), kept AS (
        INSERT INTO gateway.webhook_log
            (id, accepted_at, organization_id, integration_id, vendor, origin, delivery_key, body, state,
             reason, trace_parent, detected_at, event_name, wakes, cause, link_id, record_id, parent_id)
        SELECT id, clock_timestamp(), organization_id, integration_id, vendor, origin, delivery_key,
               decode(body, 'base64'), state, reason, trace_parent, detected_at, event_name, wakes, cause,
               link_id, record_id, parent_id
        FROM known WHERE known_as = id ORDER BY place
    )
    SELECT known_as FROM known ORDER BY place
""",
)
_OF_CHANGES = f"""
    change_id uuid, webhook_id uuid, change text, trace_parent text, detected_at timestamptz,
    backfill boolean, deletes boolean, hurries boolean, {CORRECTION}
"""
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
_CLAIM = Statement(
    "claim_webhooks",
    """
    UPDATE gateway.webhook_log w
    SET lease_until = clock_timestamp() + make_interval(secs => %(seconds)s), attempts = attempts + 1
    FROM (SELECT id, accepted_at FROM gateway.webhook_log
          WHERE state = 'received' AND not_before <= clock_timestamp() AND lease_until < clock_timestamp()
            AND integration_id <> ALL(%(integrations)s::uuid[])
            AND vendor <> ALL(%(vendors)s::text[])
          ORDER BY accepted_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED) due
    WHERE w.id = due.id AND w.accepted_at = due.accepted_at
    RETURNING w.id, w.accepted_at, w.organization_id
""",
)
_GIVE_BACK = text("""
    UPDATE gateway.webhook_log SET lease_until = '-infinity', attempts = attempts - 1
    WHERE id = :id AND accepted_at = :accepted_at AND state = 'received'
""")
_LOAD = Statement(
    "load_webhooks",
    """
    SELECT id, accepted_at, organization_id, integration_id, vendor, body, attempts, trace_parent, wakes,
           link_id, record_id, parent_id
    FROM gateway.webhook_log WHERE id = ANY(%(ids)s::uuid[]) AND accepted_at >= %(since)s ORDER BY accepted_at
""",
)
_FINISH = Statement(
    "finish_webhooks",
    """
    UPDATE gateway.webhook_log w
    SET state = a.state, reason = a.reason, cause = a.cause, translated_at = clock_timestamp(),
        lease_until = '-infinity'
    FROM json_to_recordset(%(rows)s::json) AS a
        (id uuid, accepted_at timestamptz, state text, reason text, cause text)
    WHERE w.id = a.id AND w.accepted_at = a.accepted_at
""",
)
_POSTPONE = text("""
    UPDATE gateway.webhook_log
    SET reason = :reason, cause = :cause, lease_until = '-infinity', attempts = attempts - :untried,
        not_before = clock_timestamp() + make_interval(secs => :seconds)
    WHERE id = :id AND accepted_at = :accepted_at
""")
# Changes of a record go in order: what waits before an edit of now is in nobody's way, and goes with it.
_COMMIT = Statement(
    "commit_observations",
    f"""
    WITH {SAVED.format(more=_OF_CHANGES)}, hurried AS (
        UPDATE gateway.vendor_activities v SET backfill = false FROM done d
        WHERE d.hurries AND v.link_id = d.link_id AND v.item_id = d.item_id
          AND v.state = 'pending' AND v.backfill
    ), kept AS (
        INSERT INTO gateway.vendor_activities
            (id, organization_id, wedding_id, link_id, item_id, record_id, generation, webhook_id, change,
             state, trace_parent, detected_at, backfill, deletes)
        SELECT change_id, organization_id, wedding_id, link_id, item_id, record_id, generation, webhook_id,
               decode(change, 'base64'), 'pending', trace_parent, detected_at, backfill, deletes
        FROM done WHERE change_id IS NOT NULL
    ), corrected AS (
        {CORRECT} FROM done WHERE correction_id IS NOT NULL ON CONFLICT DO NOTHING
    )
    SELECT link_id, item_id FROM done
""",
)


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


class InboundStore:
    """The webhook log and the changes made of it."""

    def __init__(self, database: Database, worker: Database) -> None:
        self._database, self._worker = database, worker
        self._endpoint = Together[bytes, Endpoint | None](self._endpoints)
        self._finish = Together[_End, None](self._finish_all)
        self._commit = Together[_Seen, None](self._commit_all)

    async def endpoint(self, key_hash: bytes) -> Endpoint | None:
        """Return whose endpoint this is, None for an unknown key."""
        return await self._endpoint(key_hash)

    async def accept(self, arrivals: Sequence[Arrival]) -> list[str]:
        """Commit webhooks to the log in one transaction; return the id each delivery is known by.

        That is the arrival's own id, or the id of the webhook that brought the same delivery first.
        """
        organizations = {arrival.endpoint.organization_id for arrival in arrivals}
        [known] = await self._database.run((_ACCEPT, _arrival_rows(arrivals)), organizations=organizations)
        return [str(row["known_as"] or "") for row in known]

    async def set_apart(
        self, arrivals: Sequence[Arrival], *, done: Received | None = None, reason: str = ""
    ) -> None:
        """Have records worked on by themselves, unless they are already; the webhook `done` is through."""
        organizations = {arrival.endpoint.organization_id for arrival in arrivals}
        async with self._database.transaction(organizations=organizations) as conn:
            await conn.execute(_SET_APART, [_arrival_row(arrival) for arrival in arrivals])
            if done is not None:
                await conn.exec_driver_sql(_FINISH.text, records([_End(done, "processed", reason).row]))

    async def claim(self, limit: int, busy: Busy = NOBODY) -> list[Received]:
        """Claim webhooks that wait for translation, oldest first; none of those who are busy."""
        values = {"limit": limit, "seconds": CLAIM_SECONDS, **passed_by(busy)}
        [claimed] = await self._worker.run((_CLAIM, values))
        if not claimed:
            return []
        organizations = {str(row["organization_id"]) for row in claimed}
        ids, since = [str(row["id"]) for row in claimed], min(row["accepted_at"] for row in claimed)
        [loaded] = await self._database.run(
            (_LOAD, {"ids": ids, "since": since}), organizations=organizations
        )
        return [_received(row) for row in loaded]

    async def give_back(self, webhooks: Sequence[Received]) -> None:
        """Let webhooks be claimed again at once."""
        async with self._worker.transaction() as conn:
            await conn.execute(_GIVE_BACK, [_place(webhook) for webhook in webhooks])

    async def finish(self, webhook: Received, *, state: str, reason: str = "", cause: str = "") -> None:
        """Say what became of a webhook."""
        await self._finish(_End(webhook, state, reason, cause))

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
        seen = _Seen(held, observation, change, cause, echoed, again)
        if change is None or change.kind is not ChangeKind.DELETE:
            await self._commit(seen)
            return
        # Several deletes at a time are counted one after the other.
        async with self._database.transaction(**scope_of([held.key])) as conn:
            await doubt_delete(conn, held.key.link_id)
            done = await conn.exec_driver_sql(_COMMIT.text, records([_seen_row(seen)]))
            [outcome] = ended([held], [dict(row) for row in done.mappings()])
            if outcome is not None:
                raise outcome

    async def _endpoints(self, hashes: Sequence[bytes]) -> list[Endpoint | Exception | None]:
        [found] = await self._database.run((_ENDPOINTS, {"hashes": list(set(hashes))}))
        known = {bytes(row["hash"]): _endpoint(row) for row in found}
        return [known.get(key_hash) for key_hash in hashes]

    async def _finish_all(self, ends: Sequence[_End]) -> list[Exception | None]:
        organizations = {end.webhook.organization_id for end in ends}
        rows = records(end.row for end in ends)
        await self._database.run((_FINISH, rows), organizations=organizations)
        return [None] * len(ends)

    async def _commit_all(self, seen: Sequence[_Seen]) -> list[Exception | None]:
        all_held = [each.held for each in seen]
        scope = scope_of(held.key for held in all_held)
        [done] = await self._database.run((_COMMIT, records(map(_seen_row, seen))), **scope)
        return ended(all_held, done)


async def keep_arrivals(conn: AsyncConnection, arrivals: Sequence[Arrival]) -> list[str]:
    """Keep what is new within the caller's transaction; return the id each delivery is known by."""
    known = await conn.exec_driver_sql(_ACCEPT.text, _arrival_rows(arrivals))
    return [str(row["known_as"] or "") for row in known.mappings()]


def _arrival_rows(arrivals: Sequence[Arrival]) -> dict[str, str]:
    return records({"place": place, **_arrival_row(arrival)} for place, arrival in enumerate(arrivals))


def _endpoint(row: Mapping[str, Any]) -> Endpoint:
    return Endpoint(
        organization_id=str(row["organization_id"]),
        integration_id=str(row["integration_id"]),
        vendor=row["vendor"],
    )


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
        # What waits of a record is known from its lease on.
        "hurries": change is not None and held.pending and not cause.backfill,
        **(_correction(held, seen) if seen.again else {}),
    }


def _correction(held: Held, seen: _Seen) -> dict[str, Any]:
    told = change_id(held.key.link_id, held.key.item_id, seen.observation.shadow.generation)
    return correction_row(
        held.key, cause=told, at=seen.cause.detected_at, trace_parent=seen.cause.trace_parent
    )
