"""Reading back what happened: webhooks, deliveries, and the path of one of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import RowMapping, text

from services.gateway.journey import ChangeStep, DeliveryStep, Steps, WebhookStep
from services.gateway.store.blobs import unpack
from services.gateway.store.sql import first, rows
from wedsync.model.codec import load_result
from wedsync.runtime.database import Database

REPLAY = "replay"
"""The origin of a webhook that is one of before, once more."""

WANTED = """
    (:state = '' OR w.state = :state) AND (:vendor = '' OR w.vendor = :vendor)
    AND (:cause = '' OR w.cause = :cause)
    AND (:reason = '' OR position(lower(:reason) in lower(w.reason)) > 0)
    AND (CAST(:since AS timestamptz) IS NULL OR w.accepted_at >= :since)
    AND (CAST(:until AS timestamptz) IS NULL OR w.accepted_at < :until)
"""
"""What narrows a list of webhooks `w` down: see `Wanted`."""

_WEBHOOKS = text(f"""
    SELECT w.id, w.vendor, w.integration_id, w.state, w.reason, w.accepted_at, w.event_name, w.cause,
           w.parent_id, w.record_id, w.link_id,
           coalesce((SELECT k.repeats FROM gateway.delivery_keys k
                     WHERE k.integration_id = w.integration_id AND k.key = w.delivery_key), 0) AS repeats,
           ARRAY(SELECT a.id FROM gateway.vendor_activities a WHERE a.webhook_id = w.id ORDER BY a.created_at)
             AS change_ids
    FROM gateway.webhook_log w
    WHERE {WANTED}
      AND (CAST(:before AS timestamptz) IS NULL OR (w.accepted_at, w.id) < (:before, CAST(:id AS uuid)))
    ORDER BY w.accepted_at DESC, w.id DESC LIMIT :limit
""")
_DELIVERIES = text("""
    SELECT d.id, d.link_id, l.vendor, d.item_id, d.change_id, d.state, d.reason, d.attempts, d.created_at,
           d.confirmed_at, d.cause
    FROM gateway.vendor_deliveries d
    JOIN gateway.wedding_vendor_integrations l ON l.id = d.link_id
    WHERE d.wedding_id = :wedding_id AND (:state = '' OR d.state = :state)
      AND (CAST(:before AS timestamptz) IS NULL OR (d.created_at, d.id) < (:before, CAST(:id AS uuid)))
    ORDER BY d.created_at DESC, d.id DESC LIMIT :limit
""")
_WEBHOOK = """
    SELECT w.id, w.vendor, w.event_name AS event, w.state, w.reason, w.detected_at, w.accepted_at,
           w.translated_at, w.trace_parent, w.origin, w.attempts, w.record_id,
           coalesce((SELECT k.repeats FROM gateway.delivery_keys k
                     WHERE k.integration_id = w.integration_id AND k.key = w.delivery_key), 0) AS repeats
    FROM gateway.webhook_log w
"""
_ITSELF = text(f"{_WEBHOOK} WHERE w.id = :id")
# What was set apart from it or replayed from it.
_PARTS = text(f"{_WEBHOOK} WHERE w.parent_id = CAST(:id AS uuid) ORDER BY w.accepted_at, w.id")
_CHANGES = text("""
    SELECT a.id, l.vendor, a.webhook_id, a.state, a.reason, a.detected_at, a.created_at, a.committed_at,
           a.sequence, a.resolved_at, a.trace_parent, a.result, a.attempts
    FROM gateway.vendor_activities a
    JOIN gateway.wedding_vendor_integrations l ON l.id = a.link_id
    WHERE a.id = :id OR a.webhook_id = :id OR a.webhook_id = ANY(:parts) ORDER BY a.created_at
""")
_DELIVERED = text("""
    SELECT d.change_id, l.vendor, d.state, d.reason, d.attempts, d.sequence, d.created_at, d.accepted_at,
           d.started_at, d.called_at, d.confirmed_at, d.closed_at, d.trace_parent
    FROM gateway.vendor_deliveries d
    JOIN gateway.wedding_vendor_integrations l ON l.id = d.link_id
    WHERE d.change_id = ANY(:ids) ORDER BY d.created_at, l.vendor
""")
_DUE = text("""
    SELECT link_id, count(*) AS due FROM gateway.vendor_deliveries
    WHERE wedding_id = :wedding_id AND state = 'due' GROUP BY link_id
""")


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a page ended: newest first, ids settle ties."""

    at: datetime
    id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which webhooks; what is empty does not narrow it."""

    state: str = ""
    vendor: str = ""
    reason: str = ""
    """Text within the reason."""
    cause: str = ""
    since: datetime | None = None
    until: datetime | None = None

    def names(self) -> dict[str, Any]:
        """Return the names in `WANTED`."""
        plain = {"state": self.state, "vendor": self.vendor, "reason": self.reason, "cause": self.cause}
        return {**plain, "since": self.since, "until": self.until}


class JourneyStore:
    """What the gateway remembers, for the organization that asks."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def webhooks(
        self, organization_id: str, wanted: Wanted, *, after: Place | None, limit: int
    ) -> Sequence[RowMapping]:
        """Return a page of webhooks and of records that are worked on by themselves."""
        async with self._database.transaction(organizations=[organization_id]) as conn:
            return await rows(conn, _WEBHOOKS, {**wanted.names(), **page(after, limit)})

    async def deliveries(
        self, organization_id: str, *, wedding_id: str, state: str, after: Place | None, limit: int
    ) -> Sequence[RowMapping]:
        """Return a page of deliveries to the organization's own vendors."""
        async with self._database.transaction(organizations=[organization_id]) as conn:
            values = {"wedding_id": wedding_id, "state": state, **page(after, limit)}
            return await rows(conn, _DELIVERIES, values)

    async def due(self, organization_id: str, wedding_id: str) -> Mapping[str, int]:
        """Return how many deliveries each link still has to make."""
        async with self._database.transaction(organizations=[organization_id]) as conn:
            found = await rows(conn, _DUE, {"wedding_id": wedding_id})
        return {str(row["link_id"]): row["due"] for row in found}

    async def steps(self, organization_id: str, journey_id: str) -> Steps:
        """Return everything recorded of one webhook or change."""
        async with self._database.transaction(organizations=[organization_id]) as conn:
            parts = await rows(conn, _PARTS, {"id": journey_id})
            apart = [part["id"] for part in parts if part["origin"] != REPLAY]
            changes = await rows(conn, _CHANGES, {"id": journey_id, "parts": apart})
            webhook = await first(conn, _ITSELF, {"id": journey_id})
            if webhook is None:
                told_by = next((row["webhook_id"] for row in changes if row["webhook_id"]), None)
                webhook = await first(conn, _ITSELF, {"id": told_by})
            ids = [row["id"] for row in changes] or [journey_id]
            deliveries = await rows(conn, _DELIVERED, {"ids": ids})
        return Steps(
            webhook=WebhookStep(**_text(webhook)) if webhook else None,
            parts=[WebhookStep(**_text(part)) for part in parts],
            changes=[ChangeStep(**_with_result(_text(row))) for row in changes],
            deliveries=[DeliveryStep(**_text(row)) for row in deliveries],
        )


def page(after: Place | None, limit: int) -> dict[str, Any]:
    """Return the names that cut a page out of what is listed newest first."""
    return {"before": after.at if after else None, "id": after.id if after else None, "limit": limit}


def _with_result(values: dict[str, Any]) -> dict[str, Any]:
    result = values["result"]
    return {**values, "result": load_result(unpack(result)) if result is not None else None}


def _text(row: RowMapping) -> dict[str, Any]:
    ids = ("id", "webhook_id", "change_id")
    return {name: str(value) if name in ids and value else value for name, value in row.items()}
