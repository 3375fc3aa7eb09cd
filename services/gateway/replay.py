"""Stuck edits set going again by people: webhooks replayed, or what that would change; deliveries retried."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from services.gateway.inspect_record import Inspector, Preview
from services.gateway.journey import Nothing
from services.gateway.poison import contained
from services.gateway.ports import Ports
from services.gateway.records import Link
from services.gateway.store.journeys import Place, Wanted
from services.gateway.store.links import LinkStore
from services.gateway.store.stuck import Dead, Replayable, StuckStore
from services.gateway.vendors.port import OutOfScope, VendorError
from wedsync.clock import Clock
from wedsync.runtime.telemetry import Telemetry


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """One webhook, and the replay it became or what one would change."""

    webhook: Replayable
    replay_id: str = ""
    records: Sequence[tuple[Link, Preview]] = ()
    note: str = ""


class Replays:
    """Replays and retries, for the organization that asks."""

    def __init__(
        self,
        *,
        store: StuckStore,
        links: LinkStore,
        ports: Ports,
        inspector: Inspector,
        telemetry: Telemetry,
        clock: Clock,
        on_replay: Callable[[], None],
        on_retry: Callable[[], None],
    ) -> None:
        self._store, self._links, self._ports, self._inspector = store, links, ports, inspector
        self._telemetry, self._clock = telemetry, clock
        self._on_replay, self._on_retry = on_replay, on_retry

    async def find(
        self, organization_id: str, wanted: Wanted, *, ids: Sequence[str], after: Place | None, limit: int
    ) -> Sequence[Replayable]:
        """Return a page of what can be replayed."""
        return await self._store.replayable(organization_id, wanted, ids=ids, after=after, limit=limit)

    async def replay(self, webhooks: Sequence[Replayable], *, request_id: str) -> list[Replayed]:
        """Have webhooks read once more, each in a new trace that is linked to its first one."""
        if not webhooks:
            return []
        replays = [(webhook, self._traced("replay", webhook.received.trace_parent)) for webhook in webhooks]
        known = await self._store.replay(replays, request_id=request_id, at=self._clock.now())
        self._on_replay()
        pairs = zip(webhooks, known, strict=True)
        return [Replayed(webhook=webhook, replay_id=replay_id) for webhook, replay_id in pairs]

    async def preview(self, webhooks: Sequence[Replayable]) -> list[Replayed]:
        """Say what replaying them would change. The vendors are read, and nothing is written."""
        return [await self._preview(webhook) for webhook in webhooks]

    async def retry(
        self, organization_id: str, dead: Dead, *, after: Place | None, limit: int
    ) -> tuple[Sequence[Mapping[Any, Any]], bool]:
        """Make a page of parked deliveries due again; return them, and whether there are more."""
        found = await self._store.dead(organization_id, dead, after=after, limit=limit + 1)
        retried = found[:limit]
        await self._store.retry(
            organization_id, [(row, self._traced("retry", row["trace_parent"])) for row in retried]
        )
        self._on_retry()
        return retried, len(found) > limit

    def _traced(self, name: str, first: str) -> str:
        with self._telemetry.span(name, new_trace=True, links=[first]) as span:
            return span.traceparent

    async def _preview(self, webhook: Replayable) -> Replayed:
        received, records, notes = webhook.received, list[tuple[Link, Preview]](), list[str]()
        links = await self._links.links([received.organization_id], integration_id=received.integration_id)
        concerned = [link for link in links if received.link_id in (None, link.link_id) and link.active]
        for link in concerned:
            try:
                record_ids, decisions = await self._pointed_at(webhook, link)
            except VendorError as error:
                notes.append(str(error))
                continue
            notes += ["it holds a decision about a conflict"] * bool(decisions)
            records += [(link, await self._look(link, record_id)) for record_id in record_ids]
        notes += ["the vendor would be asked at once what moved"] * bool(received.wakes)
        if not concerned:
            notes.append(Nothing.UNLINKED)
        return Replayed(webhook=webhook, records=records, note="; ".join(dict.fromkeys(notes)))

    async def _pointed_at(self, webhook: Replayable, link: Link) -> tuple[Sequence[str], bool]:
        received = webhook.received
        if received.record_id is not None or received.wakes:
            return [received.record_id] if received.record_id else [], False
        with contained():
            port = await self._ports.open(link)
            event: Mapping[str, Any] = orjson.loads(received.body)
            return port.hints(event), bool(port.decisions(event))

    async def _look(self, link: Link, record_id: str) -> Preview:
        try:
            with contained():
                return await self._inspector.preview(link, record_id)
        except OutOfScope:
            return Preview(
                record_id=record_id, note="it belongs to no part of the vendor's data that is linked"
            )
        except VendorError as error:
            return Preview(record_id=record_id, note=str(error))
