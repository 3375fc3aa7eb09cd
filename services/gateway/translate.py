"""A webhook becomes looks at the records it points at. Thin or fat, it is only a hint."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from typing import Any

import orjson

from services.gateway.deliver.retry import Park, after_failure
from services.gateway.inspect_record import Inspector
from services.gateway.ports import Ports
from services.gateway.records import Link
from services.gateway.store.inbound import Cause, InboundStore, Received
from services.gateway.store.links import LinkStore
from services.gateway.vendors.port import OutOfScope, VendorError
from wedsync.runtime.traceparent import within


class Translator:
    """Works through the webhook log."""

    def __init__(
        self,
        *,
        inbound: InboundStore,
        links: LinkStore,
        ports: Ports,
        inspector: Inspector,
        on_change: Callable[[], None],
    ) -> None:
        self._inbound, self._links, self._ports = inbound, links, ports
        self._inspector, self._on_change = inspector, on_change

    async def claim(self, limit: int) -> list[Received]:
        """Claim webhooks that wait."""
        return await self._inbound.claim(limit)

    async def translate(self, webhook: Received) -> None:
        """Look at everything the webhook points at; park it if that makes no sense."""
        links = await self._links.links([webhook.organization_id], integration_id=webhook.integration_id)
        try:
            looked = [await self._one(webhook, link) for link in links if link.active]
        except VendorError as error:
            await self._failed(webhook, error)
            return
        reason = "" if any(looked) else "no active link is concerned"
        await self._inbound.finish(webhook, state="processed", reason=reason)
        self._on_change()

    async def _one(self, webhook: Received, link: Link) -> bool:
        port = await self._ports.open(link)
        event: Mapping[str, Any] = orjson.loads(webhook.body)
        cause = Cause(
            trace_parent=webhook.trace_parent,
            detected_at=webhook.accepted_at,
            webhook_id=webhook.webhook_id,
        )
        concerned = False
        for record_id in port.hints(event):
            try:
                # The vendor is asked on behalf of this webhook: the call belongs to its trace.
                with within(webhook.trace_parent):
                    await self._inspector.look(link, record_id, cause)
                concerned = True
            except OutOfScope:
                continue
        return concerned

    async def _failed(self, webhook: Received, error: VendorError) -> None:
        verdict = after_failure(error, attempts=webhook.attempts, dice=random.random())  # noqa: S311 - jitter
        if isinstance(verdict, Park):
            await self._inbound.finish(webhook, state="parked", reason=verdict.reason)
        else:
            await self._inbound.postpone(webhook, seconds=verdict.seconds, reason=str(error))
