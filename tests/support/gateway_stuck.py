"""What is stuck, what ends, and what the wedding has, in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from services.gateway.records import Link
from services.gateway.store.endings import EndingStore
from services.gateway.store.inbound import Arrival
from services.gateway.store.journeys import Place, Wanted
from services.gateway.store.projection import ProjectionStore
from services.gateway.store.stuck import Dead, Replayable, StuckStore
from tests.support.gateway_fakes import received
from tests.support.gateway_memory import Memory
from wedsync.model.changes import ItemState
from wedsync.model.ids import new_id

NOW = datetime.fromisoformat("2027-01-01T00:00:00+00:00")


class MemoryProjection(ProjectionStore):
    """What the wedding has."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory

    async def items(self, wedding_id: str) -> list[ItemState]:
        """Return everything; there is one wedding."""
        return [item for _, item in self._memory.projection.values()]


class MemoryEndings(EndingStore):
    """Ends accounts and links."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory

    async def unlink(self, link: Link, *, reason: str) -> None:
        """End one link."""
        before = self._memory.links[link.link_id]
        if not before.ended:
            self._memory.links[link.link_id] = replace(before, active=False, ended=True, reason=reason)

    async def disconnect(self, organization_id: str, integration_id: str, *, reason: str) -> None:
        """End an account with all its links."""
        integration, account = self._memory.integrations[integration_id]
        if integration.disconnected_at is None:
            ended = replace(integration, disconnected_at=NOW)
            self._memory.integrations[integration_id] = (ended, replace(account, credentials={}))
        for link in [link for link in self._memory.links.values() if link.integration_id == integration_id]:
            await self.unlink(link, reason=reason)


class MemoryStuck(StuckStore):
    """Webhooks that can be replayed, and parked deliveries; `dead_rows` is what is parked."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self.asked: dict[str, Any] = {}
        self.dead_rows: list[dict[str, Any]] = []
        self.retried: list[tuple[str, str]] = []
        self._known: dict[tuple[str, str], str] = {}

    async def replayable(
        self, organization_id: str, wanted: Wanted, *, ids: Sequence[str], after: Place | None, limit: int
    ) -> list[Replayable]:
        """Return what was read already, newest first."""
        self.asked = {"wanted": wanted, "ids": ids, "after": after}
        return [
            Replayable(received=received(arrival), origin=arrival.origin, event_name=arrival.event_name)
            for arrival in reversed(self._memory.webhooks)
            if self._fits(arrival, wanted, ids)
        ][:limit]

    def _fits(self, arrival: Arrival, wanted: Wanted, ids: Sequence[str]) -> bool:
        state, reason = self._memory.finished.get(arrival.webhook_id, ("received", ""))
        named = not ids or arrival.webhook_id in ids
        return named and state != "received" and wanted.state in {"", state} and wanted.reason in reason

    async def replay(
        self, replays: Sequence[tuple[Replayable, str]], *, request_id: str, at: datetime
    ) -> list[str]:
        """Have each of them read again, once per request."""
        return [self._replay(first, trace, request_id, at) for first, trace in replays]

    def _replay(self, first: Replayable, trace: str, request_id: str, at: datetime) -> str:
        name = request_id, first.received.webhook_id
        if name in self._known:
            return self._known[name]
        before = next(w for w in self._memory.webhooks if w.webhook_id == name[1])
        again = replace(
            before,
            webhook_id=new_id(),
            trace_parent=trace,
            detected_at=at,
            origin="replay",
            delivery_key=None,
            parent_id=first.root_id,
            parked="",
        )
        self._memory.webhooks.append(again)
        state, reason = self._memory.finished[name[1]]
        self._memory.finished[name[1]] = ("replayed" if state == "parked" else state, reason)
        self._known[name] = again.webhook_id
        return again.webhook_id

    async def dead(self, organization_id: str, dead: Dead, *, after: Place | None, limit: int) -> Any:
        """Return a page of parked deliveries."""
        self.asked = {"dead": dead, "after": after}
        return self.dead_rows[:limit]

    async def retry(self, organization_id: str, deliveries: Sequence[tuple[Mapping[Any, Any], str]]) -> None:
        """Make parked deliveries due again."""
        self.retried += [(str(row["id"]), trace) for row, trace in deliveries]
