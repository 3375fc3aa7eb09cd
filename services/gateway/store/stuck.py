"""What got stuck, and setting it going again: webhooks are replayed, parked deliveries are due once more."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import RowMapping, text

from services.gateway.store.inbound import Arrival, Endpoint, Received, keep_arrivals
from services.gateway.store.journeys import REPLAY, WANTED, Place, Wanted, page
from services.gateway.store.sql import rows
from wedsync.model.ids import new_id
from wedsync.runtime.database import Database
from wedsync.runtime.envelope import unseal

# What is still being worked on is left to that, and what was replayed once is only replayed again where it
# got stuck, or by name. A record that a poll showed can be read again by its name only.
_REPLAYABLE = text(f"""
    SELECT w.id, w.accepted_at, w.organization_id, w.integration_id, w.vendor, w.body, w.attempts,
           w.trace_parent, w.wakes, w.link_id, w.record_id, w.parent_id, w.origin, w.event_name, w.detected_at
    FROM gateway.webhook_log w
    WHERE {WANTED}
      AND w.state <> 'received' AND (w.origin <> 'poll' OR w.record_id IS NOT NULL)
      AND (CAST(:ids AS uuid[]) IS NULL OR w.id = ANY(CAST(:ids AS uuid[])))
      AND (w.origin <> 'replay' OR w.state = 'parked' OR CAST(:ids AS uuid[]) IS NOT NULL)
      AND (CAST(:before AS timestamptz) IS NULL OR (w.accepted_at, w.id) < (:before, CAST(:id AS uuid)))
    ORDER BY w.accepted_at DESC, w.id DESC LIMIT :limit
""")
_REPLAYED = text("""
    UPDATE gateway.webhook_log SET state = 'replayed'
    WHERE accepted_at = :accepted_at AND id = :id AND state = 'parked'
""")
_PARKED = text("""
    SELECT d.id, d.link_id, l.vendor, d.item_id, d.change_id, d.state, d.reason, d.attempts, d.created_at,
           d.confirmed_at, d.cause, d.trace_parent
    FROM gateway.vendor_deliveries d
    JOIN gateway.wedding_vendor_integrations l ON l.id = d.link_id
    WHERE d.state = 'parked' AND l.state <> 'ended'
      AND (CAST(:ids AS uuid[]) IS NULL OR d.id = ANY(CAST(:ids AS uuid[])))
      AND (CAST(:link_id AS uuid) IS NULL OR d.link_id = CAST(:link_id AS uuid))
      AND (:vendor = '' OR l.vendor = :vendor) AND (:cause = '' OR d.cause = :cause)
      AND (:reason = '' OR position(lower(:reason) in lower(d.reason)) > 0)
      AND (CAST(:before AS timestamptz) IS NULL OR (d.created_at, d.id) < (:before, CAST(:id AS uuid)))
    ORDER BY d.created_at DESC, d.id DESC LIMIT :limit
""")
_RETRY = text("""
    UPDATE gateway.vendor_deliveries
    SET state = 'due', attempts = 0, not_before = '-infinity', closed_at = NULL, trace_parent = :trace_parent
    WHERE created_at = :created_at AND id = :id AND state = 'parked'
    RETURNING id
""")


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayable:
    """A webhook as it was received, and what it was then."""

    received: Received
    origin: str
    event_name: str

    @property
    def root_id(self) -> str:
        """The first of its kind: a replay of a replay is one of the same webhook."""
        again = self.origin == REPLAY and self.received.parent_id is not None
        return str(self.received.parent_id) if again else self.received.webhook_id


@dataclass(frozen=True, slots=True, kw_only=True)
class Dead:
    """Which parked deliveries; what is empty does not narrow it."""

    ids: Sequence[str] = ()
    link_id: str = ""
    vendor: str = ""
    reason: str = ""
    cause: str = ""


class StuckStore:
    """Finds what is stuck, for the organization that asks."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def replayable(
        self, organization_id: str, wanted: Wanted, *, ids: Sequence[str], after: Place | None, limit: int
    ) -> list[Replayable]:
        """Return a page of webhooks that can be replayed, newest first."""
        names = {**wanted.names(), "ids": list(ids) or None, **page(after, limit)}
        async with self._database.transaction(organizations=[organization_id]) as conn:
            return [_replayable(row) for row in await rows(conn, _REPLAYABLE, names)]

    async def replay(
        self, replays: Sequence[tuple[Replayable, str]], *, request_id: str, at: datetime
    ) -> list[str]:
        """Have each of them read again, in the trace named beside it; return the ids of the replays.

        The same request replays each of them once. Those that were parked are no longer.
        """
        arrivals = [_arrival(first, trace, request_id, at) for first, trace in replays]
        organizations = {first.received.organization_id for first, _ in replays}
        async with self._database.transaction(organizations=organizations) as conn:
            known = await keep_arrivals(conn, arrivals)
            for first, _ in replays:
                place = {"accepted_at": first.received.accepted_at, "id": first.received.webhook_id}
                await conn.execute(_REPLAYED, place)
        return known

    async def dead(
        self, organization_id: str, dead: Dead, *, after: Place | None, limit: int
    ) -> Sequence[RowMapping]:
        """Return a page of parked deliveries, newest first."""
        names = {
            "ids": list(dead.ids) or None,
            "link_id": dead.link_id or None,
            "vendor": dead.vendor,
            "reason": dead.reason,
            "cause": dead.cause,
        }
        async with self._database.transaction(organizations=[organization_id]) as conn:
            return await rows(conn, _PARKED, {**names, **page(after, limit)})

    async def retry(self, organization_id: str, deliveries: Sequence[tuple[Mapping[Any, Any], str]]) -> None:
        """Make parked deliveries due again, each in the trace named beside it."""
        async with self._database.transaction(organizations=[organization_id]) as conn:
            for row, trace in deliveries:
                place = {"created_at": row["created_at"], "id": row["id"]}
                await conn.execute(_RETRY, {**place, "trace_parent": trace})


def _arrival(first: Replayable, trace_parent: str, request_id: str, at: datetime) -> Arrival:
    received = first.received
    return Arrival(
        webhook_id=new_id(),
        endpoint=Endpoint(
            organization_id=received.organization_id,
            integration_id=received.integration_id,
            vendor=received.vendor,
        ),
        body=received.body,
        trace_parent=trace_parent,
        detected_at=at,
        delivery_key=f"replay:{request_id}:{received.webhook_id}",
        origin=REPLAY,
        event_name=first.event_name,
        wakes=received.wakes,
        link_id=received.link_id,
        record_id=received.record_id,
        parent_id=first.root_id,
    )


def _replayable(row: RowMapping) -> Replayable:
    received = Received(
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
    return Replayable(received=received, origin=row["origin"], event_name=row["event_name"])
