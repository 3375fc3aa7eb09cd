"""Keeps each link's push channel open: proposed before it is asked for, renewed before it ends."""

from __future__ import annotations

import asyncio
import contextlib
import random
import secrets
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta

from services.gateway.channels import (
    LATER_SECONDS,
    OPENING_SECONDS,
    SOON_SECONDS,
    Kept,
    Plan,
    next_look,
    plan_channels,
)
from services.gateway.deliver.retry import backoff
from services.gateway.ports import Ports
from services.gateway.records import NOBODY, Busy, Link
from services.gateway.store.channels import ChannelStore, DuePush
from services.gateway.store.links import LinkStore, webhook_path
from services.gateway.vendors.port import Channel, VendorAuthFailed, VendorError, VendorRejected
from wedsync.clock import Clock
from wedsync.model.ids import new_id

NO_ADDRESS = "no push channel: WEDSYNC_PUBLIC_URL is not set, so the vendor cannot tell us; it is polled"
_SECRET_BYTES = 32
# Whoever takes leave of an account waits for it.
_LEAVE_SECONDS = 5.0


class ChannelKeeper:
    """Works on links whose channels are due for a look."""

    def __init__(
        self,
        *,
        store: ChannelStore,
        links: LinkStore,
        ports: Ports,
        clock: Clock,
        public_url: str | None,
        on_opened: Callable[[], None],
    ) -> None:
        self._store, self._links, self._ports, self._clock = store, links, ports, clock
        self._public_url, self._on_opened = public_url, on_opened

    async def claim(self, limit: int, busy: Busy = NOBODY) -> list[DuePush]:
        """Claim links that are due; none of those who are busy."""
        vendors = self._ports.pushing()
        return await self._store.claim(vendors, limit, busy) if vendors else []

    async def tend(self, due: DuePush) -> None:
        """Open, close and forget what the plan says; where there is no channel say why, and try later."""
        link, reason, failures = due.link, "", 0
        address = await self._address(link) if link.active else None
        plan = plan_channels(
            due.kept, address=address, renew_before_seconds=self._renew_before(link), now=self._clock.now()
        )
        await self._clear_away(link, plan)
        if plan.opens and address is not None:
            try:
                await self._open(link, address)
            except VendorError as error:
                reason, failures = f"no new push channel: {error}; polling goes on", due.failures + 1
        elif link.active and address is None:
            reason = NO_ADDRESS
        seconds = await self._seconds(link, failures)
        await self._store.looked(due, seconds=seconds, failures=failures, reason=reason)

    async def take_leave(self, links: Sequence[Link]) -> None:
        """Have vendors tell us no more, as far as they answer soon; what is left ends by itself."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LEAVE_SECONDS):
                for link in links:
                    await self._clear_away(link, Plan(closes=tuple(await self._store.of_link(link))))

    async def _address(self, link: Link) -> str | None:
        integration = await self._links.integration([link.organization_id], link.integration_id)
        if self._public_url is None or integration is None:
            return None
        path = webhook_path(link.vendor, self._links.endpoint_key(integration))
        return self._public_url.rstrip("/") + path

    async def _clear_away(self, link: Link, plan: Plan) -> None:
        for kept in plan.forgets:
            await self._store.forget(link, kept)
        for kept in plan.closes:
            try:
                await (await self._ports.pusher(link)).close_channel(kept.channel)
            except (VendorRejected, VendorAuthFailed):
                pass  # it ends by itself
            except VendorError:
                continue  # it is tried again, until it ends by itself
            await self._store.forget(link, kept)

    async def _open(self, link: Link, address: str) -> None:
        """Keep the proposal first: the vendor may greet the channel before it answers that it is open."""
        port, now = await self._ports.pusher(link), self._clock.now()
        proposed = Channel(
            channel_id=new_id(),
            secret=secrets.token_urlsafe(_SECRET_BYTES),
            ends_at=now + timedelta(seconds=OPENING_SECONDS),
        )
        kept = Kept(id=new_id(), link_id=link.link_id, channel=proposed, address=address, created_at=now)
        await self._store.keep(link, kept)
        try:
            granted = await port.open_channel(address, proposed.channel_id, proposed.secret)
        except VendorError:
            await self._store.forget(link, kept)
            raise
        await self._store.keep(link, replace(kept, channel=granted, opened=True))
        # What moved before the channel was open was told to nobody.
        await self._links.poll_now(link)
        self._on_opened()

    async def _seconds(self, link: Link, failures: int) -> float:
        dice = random.random()  # noqa: S311 - jitter
        if failures:
            return max(SOON_SECONDS, min(LATER_SECONDS, backoff(failures + 6, dice)))
        kept = await self._store.of_link(link)
        return next_look(
            kept, renew_before_seconds=self._renew_before(link), now=self._clock.now(), dice=dice
        )

    def _renew_before(self, link: Link) -> float:
        push = self._ports.manifest(link.vendor).push
        return push.renew_before_seconds if push else 0.0
