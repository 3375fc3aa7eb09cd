"""Records that cannot be read now are set apart: each goes its own way, and everything else goes on.

A record set apart is a row of the webhook log like any other: it is tried again, parked after its tries with
the cause and a cure, listed, and replayed.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence
from dataclasses import dataclass

from services.gateway.deliver.retry import Park, after_failure, cause_of
from services.gateway.records import Link
from services.gateway.store.inbound import Arrival, Cause, Endpoint, InboundStore, Received
from services.gateway.vendors.port import BadRecord, VendorError
from wedsync.model.ids import new_id


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """One record that could not be read, and why."""

    link: Link
    record_id: str
    error: VendorError


class Apart:
    """Sets records apart."""

    def __init__(self, inbound: InboundStore) -> None:
        self._inbound = inbound

    async def from_poll(self, link: Link, record_id: str, cause: Cause, error: VendorError) -> None:
        """Set a record apart that a look at its link could not read."""
        trouble = Trouble(link=link, record_id=record_id, error=error)
        await self._inbound.set_apart([_arrival(trouble, cause, origin="poll")])

    async def from_list(self, link: Link, bad: BadRecord, cause: Cause) -> None:
        """Park a record that its list showed already to make no sense, once per content."""
        digest = hashlib.sha256(bad.raw + bad.reason.encode()).hexdigest()[:32]
        arrival = Arrival(
            webhook_id=new_id(),
            endpoint=_endpoint(link),
            body=bad.raw or bad.record_id.encode(),
            delivery_key=f"bad:{link.link_id}:{bad.record_id}:{digest}",
            trace_parent=cause.trace_parent,
            detected_at=cause.detected_at,
            origin="poll",
            link_id=link.link_id,
            record_id=bad.record_id,
            cause="garbage",
            parked=f"{bad.record_id}: {bad.reason}. Correct it at the vendor; it is read again then.",
        )
        await self._inbound.accept([arrival])

    async def from_webhook(self, webhook: Received, troubles: Sequence[Trouble]) -> None:
        """Set apart what a webhook points at and could not be read; the rest of the webhook is done."""
        cause = Cause(trace_parent=webhook.trace_parent, detected_at=webhook.accepted_at)
        apart = [
            _arrival(trouble, cause, origin="webhook", parent_id=webhook.webhook_id) for trouble in troubles
        ]
        names = ", ".join(trouble.record_id for trouble in troubles)
        await self._inbound.set_apart(apart, done=webhook, reason=f"set apart, each by itself: {names}")


def _arrival(trouble: Trouble, cause: Cause, *, origin: str, parent_id: str | None = None) -> Arrival:
    link, dice = trouble.link, random.random()  # noqa: S311 - jitter
    verdict = after_failure(trouble.error, attempts=1, dice=dice)
    return Arrival(
        webhook_id=new_id(),
        endpoint=_endpoint(link),
        body=b"",
        trace_parent=cause.trace_parent,
        detected_at=cause.detected_at,
        origin=origin,
        link_id=link.link_id,
        record_id=trouble.record_id,
        parent_id=parent_id,
        cause=cause_of(trouble.error),
        reason=str(trouble.error),
        parked=verdict.reason if isinstance(verdict, Park) else "",
        wait_seconds=0.0 if isinstance(verdict, Park) else verdict.seconds,
    )


def _endpoint(link: Link) -> Endpoint:
    return Endpoint(
        organization_id=link.organization_id, integration_id=link.integration_id, vendor=link.vendor
    )
