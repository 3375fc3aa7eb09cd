"""A webhook becomes looks at the records it points at. Thin or fat, it is only a hint."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import orjson

from services.gateway.deliver.retry import Park, after_failure
from services.gateway.inspect_record import Inspector, Seen
from services.gateway.ports import Ports
from services.gateway.records import NOBODY, Busy, Link
from services.gateway.store.inbound import Cause, InboundStore, Received
from services.gateway.store.links import LinkStore
from services.gateway.vendors.port import Decision, NotCalled, OutOfScope, VendorError
from wedsync.runtime.traceparent import within


class Decisions(Protocol):
    """Takes what people decided in a vendor's system to where conflicts are kept."""

    async def decide(self, link: Link, decision: Decision, webhook_id: str) -> str:
        """Return what became of it, in words. Raises `VendorUnavailable` if that cannot be told now."""
        ...


class Translator:
    """Works through the webhook log."""

    def __init__(
        self,
        *,
        inbound: InboundStore,
        links: LinkStore,
        ports: Ports,
        inspector: Inspector,
        decisions: Decisions,
        on_change: Callable[[], None],
        on_wake: Callable[[], None],
    ) -> None:
        self._inbound, self._links, self._ports = inbound, links, ports
        self._inspector, self._decisions = inspector, decisions
        self._on_change, self._on_wake = on_change, on_wake

    async def claim(self, limit: int, busy: Busy = NOBODY) -> list[Received]:
        """Claim webhooks that wait; none of those who are busy."""
        return await self._inbound.claim(limit, busy)

    async def translate(self, webhook: Received) -> None:
        """Look at everything the webhook points at; park it if that makes no sense."""
        links = await self._links.links([webhook.organization_id], integration_id=webhook.integration_id)
        try:
            told = [told for link in links if link.active for told in await self._one(webhook, link)]
        except VendorError as error:
            await self._failed(webhook, error)
            return
        await self._inbound.finish(webhook, state="processed", reason=_nothing(told))
        self._on_change()

    async def _one(self, webhook: Received, link: Link) -> list[Seen | str]:
        """Return what each record turned out to be, and what became of each decision."""
        if webhook.wakes:
            return await self._wake(webhook, link)
        port = await self._ports.open(link)
        event: Mapping[str, Any] = orjson.loads(webhook.body)
        decided = [await self._decide(webhook, link, decision) for decision in port.decisions(event)]
        return [*decided, *await self._look(webhook, link, port.hints(event))]

    async def _wake(self, webhook: Received, link: Link) -> list[Seen | str]:
        """Ask the vendor now what moved: the webhook only says that something did."""
        if link.link_id not in webhook.wakes:
            return []
        await self._links.poll_now(link)
        self._on_wake()
        return ["the vendor is asked at once what moved"]

    async def _decide(self, webhook: Received, link: Link, decision: Decision) -> str:
        with within(webhook.trace_parent):
            return await self._decisions.decide(link, decision, webhook.webhook_id)

    async def _look(self, webhook: Received, link: Link, record_ids: Sequence[str]) -> list[Seen | str]:
        cause = Cause(
            trace_parent=webhook.trace_parent,
            detected_at=webhook.accepted_at,
            webhook_id=webhook.webhook_id,
        )
        seen: list[Seen | str] = []
        for record_id in record_ids:
            try:
                # The vendor is asked on behalf of this webhook: the call belongs to its trace.
                with within(webhook.trace_parent):
                    seen.append(await self._inspector.look(link, record_id, cause))
            except OutOfScope:
                continue
        return seen

    async def _failed(self, webhook: Received, error: VendorError) -> None:
        verdict = after_failure(error, attempts=webhook.attempts, dice=random.random())  # noqa: S311 - jitter
        if isinstance(verdict, Park):
            await self._inbound.finish(webhook, state="parked", reason=verdict.reason)
        else:
            untried = isinstance(error, NotCalled)
            await self._inbound.postpone(webhook, seconds=verdict.seconds, reason=str(error), untried=untried)


def _nothing(told: Sequence[Seen | str]) -> str:
    """Return why a webhook became no change; empty where it did."""
    if words := [one for one in told if isinstance(one, str)]:
        return "; ".join(words)
    seen = [one for one in told if isinstance(one, Seen)]
    if any(one.change_id for one in seen):
        return ""
    if any(one.echo for one in seen):
        return "an echo of a write of ours"
    return "it shows what is known already" if seen else "no active link is concerned"
