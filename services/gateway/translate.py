"""A webhook becomes looks at the records it points at; one that shows them whole may spare the reading."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Protocol

import orjson

from services.gateway.apart import Apart, Trouble
from services.gateway.deliver.retry import Park, after_failure, cause_of
from services.gateway.inspect_record import Inspector, RecordBusy, Seen
from services.gateway.journey import ASKED, Nothing
from services.gateway.poison import contained
from services.gateway.ports import Ports
from services.gateway.records import Link
from services.gateway.stops import LinkStopped, account_refused
from services.gateway.store.inbound import Cause, InboundStore, Received
from services.gateway.store.links import LinkStore
from services.gateway.vendors.port import (
    Decision,
    NotCalled,
    OutOfScope,
    VendorAuthFailed,
    VendorError,
    VendorRecord,
    VendorUnavailable,
)
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
        apart: Apart,
        ports: Ports,
        inspector: Inspector,
        decisions: Decisions,
        on_wake: Callable[[], None],
    ) -> None:
        self._inbound, self._links, self._apart, self._ports = inbound, links, apart, ports
        self._inspector, self._decisions, self._on_wake = inspector, decisions, on_wake

    async def translate(self, webhook: Received) -> None:
        """Look at everything it points at; park it if that makes no sense."""
        links = [link for link in await self._concerned(webhook) if not link.ended]
        told: list[Seen | str | Trouble] = []
        try:
            for link in links:
                told += await self._one(webhook, link, alone=len(links) == 1)
        except VendorError as error:
            await self._failed(webhook, error)
            return
        await self._done(webhook, told)

    async def _concerned(self, webhook: Received) -> Sequence[Link]:
        if webhook.links is not None:
            return webhook.links
        organizations = [webhook.organization_id]
        if webhook.link_id is None:
            return await self._links.links_of(
                webhook.organization_id, webhook.integration_id, self._scope(webhook)
            )
        link = await self._links.find_link(organizations, webhook.link_id)
        return [link] if link is not None else []

    def _scope(self, webhook: Received) -> tuple[str, str] | None:
        """Return which links an account's webhook can be about, None for all of them."""
        inbound = self._ports.manifest(webhook.vendor).inbound
        if inbound is None or inbound.scope_at is None:
            return None
        return inbound.scope_of(orjson.loads(webhook.body))

    async def _done(self, webhook: Received, told: Sequence[Seen | str | Trouble]) -> None:
        troubles = [one for one in told if isinstance(one, Trouble)]
        if any(isinstance(one, Seen) and one.ended for one in told):
            return
        if not troubles:
            await self._inbound.finish(webhook, state="processed", reason=_nothing(told))
        elif len(told) == 1 or all(map(_uncalled, told)):
            await self._failed(webhook, troubles[0].error)
        else:
            await self._apart.from_webhook(webhook, troubles)

    async def _one(self, webhook: Received, link: Link, *, alone: bool) -> list[Seen | str | Trouble]:
        """Return what each record turned out to be, and what became of each decision."""
        if webhook.wakes:
            return await self._wake(webhook, link) if link.active else []
        with contained():
            port = await self._ports.open(link)
            if webhook.record_id is not None:
                return await self._look(webhook, link, [webhook.record_id], alone=alone)
            event: Mapping[str, Any] = orjson.loads(webhook.body)
            decisions, record_ids = port.decisions(event), port.hints(event)
            shown = await self._ports.shown(link, event)
        if not decisions and not record_ids:
            return [Seen(nothing=Nothing.POINTLESS)]
        if not link.active:
            decisions = ()
        decided = [await self._decide(webhook, link, decision) for decision in decisions]
        alone = alone and not decided and len(record_ids) == 1
        return [*decided, *await self._look(webhook, link, record_ids, shown, alone=alone)]

    async def _wake(self, webhook: Received, link: Link) -> list[Seen | str | Trouble]:
        """Ask the vendor now what moved: the webhook only says that something did."""
        if link.link_id not in webhook.wakes:
            return []
        await self._links.poll_now(link)
        self._on_wake()
        return [ASKED]

    async def _decide(self, webhook: Received, link: Link, decision: Decision) -> str:
        with within(webhook.trace_parent):
            # A click that is replayed is the same click.
            return await self._decisions.decide(link, decision, webhook.parent_id or webhook.webhook_id)

    async def _look(
        self,
        webhook: Received,
        link: Link,
        record_ids: Sequence[str],
        shown: Mapping[str, VendorRecord] = MappingProxyType({}),
        *,
        alone: bool,
    ) -> list[Seen | str | Trouble]:
        """Look at each record by itself; once the vendor is away, the rest are not even tried.

        With `alone` the webhook is about nothing else.
        """
        cause = Cause(
            trace_parent=webhook.trace_parent,
            detected_at=webhook.accepted_at,
            webhook_id=webhook.webhook_id,
            alone=alone,
        )
        seen: list[Seen | str | Trouble] = []
        # Nothing else may tell of these records once a paused link goes on.
        away: VendorError | None = None if link.active else LinkStopped(link.reason)
        for record_id in record_ids:
            try:
                if away is not None:
                    raise away
                seen.append(await self._look_at(link, record_id, cause, shown.get(record_id)))
            except OutOfScope:
                seen.append(Seen(nothing=Nothing.OUTSIDE))
            except VendorError as met:
                error = await account_refused(self._ports, self._links, link, met)
                away = error if _is_away(error) else None
                seen.append(Trouble(link=link, record_id=record_id, error=error))
        return seen

    async def _look_at(self, link: Link, record_id: str, cause: Cause, shown: VendorRecord | None) -> Seen:
        # The vendor is asked on behalf of this webhook: the call belongs to its trace.
        with within(cause.trace_parent), contained():
            return await self._inspector.look(link, record_id, cause, shown)

    async def _failed(self, webhook: Received, error: VendorError) -> None:
        verdict = after_failure(error, attempts=webhook.attempts, dice=random.random())  # noqa: S311 - jitter
        if isinstance(verdict, Park):
            await self._inbound.finish(webhook, state="parked", reason=verdict.reason, cause=verdict.cause)
        else:
            await self._inbound.postpone(
                webhook,
                seconds=verdict.seconds,
                reason=str(error),
                cause=cause_of(error),
                untried=isinstance(error, NotCalled),
            )


def _uncalled(one: Seen | str | Trouble) -> bool:
    return isinstance(one, Trouble) and isinstance(one.error, NotCalled)


def _is_away(error: VendorError) -> bool:
    """Say whether the vendor answers nothing, rather than nothing about one record."""
    unavailable = isinstance(error, VendorUnavailable) and not isinstance(error, RecordBusy)
    return unavailable or isinstance(error, VendorAuthFailed)


def _nothing(told: Sequence[Seen | str | Trouble]) -> str:
    """Return why a webhook became no change; empty where it did."""
    if words := [one for one in told if isinstance(one, str)]:
        return "; ".join(words)
    reasons = list(dict.fromkeys(one.why_nothing for one in told if isinstance(one, Seen)))
    if "" in reasons:
        return ""
    return Nothing.ECHO if Nothing.ECHO in reasons else "; ".join(reasons) or Nothing.UNLINKED
