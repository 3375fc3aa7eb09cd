"""What the demo plays on: one fresh wedding, linked to a job, a calendar, a customer and a channel."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass, field

from wedsync.api.sync.v1.change_pb2 import LoggedChange
from wedsync.cli.demo.money_and_words import Payer, Team
from wedsync.cli.demo.sandbox import Sandbox
from wedsync.cli.demo.vendors import Couple, Photographer
from wedsync.cli.demo.waiting import eventually
from wedsync.cli.http import Send
from wedsync.client import GatewayClient, SyncClient, wedding_message
from wedsync.clock import Clock
from wedsync.convert import kind_from_message
from wedsync.model.items import ItemKind

DAY, ZONE = "2027-06-12", "America/New_York"
TITLE = "Ada & Grace"

_HOOKS = ("job.created", "contact.created", "order.booked", "payment.created")
_LEAVE_SECONDS = 5.0


@dataclass(slots=True)
class LiveLog:
    """A wedding's log as a subscriber sees it, while it grows."""

    entries: list[LoggedChange] = field(default_factory=list)
    _watching: asyncio.Task[None] | None = None

    @property
    def sequence(self) -> int:
        """The last sequence seen."""
        return self.entries[-1].sequence if self.entries else 0

    def after(self, sequence: int, kind: ItemKind) -> list[LoggedChange]:
        """Return what was logged since about items of a kind. Raises what the subscription ended with."""
        if self._watching and self._watching.done():
            self._watching.result()
        since = [entry for entry in self.entries if entry.sequence > sequence]
        return [entry for entry in since if kind_from_message(entry.item_kind) is kind]

    @asynccontextmanager
    async def watching(self, sync: SyncClient, wedding_id: str) -> AsyncIterator[LiveLog]:
        """Follow the log from its beginning."""
        self._watching = asyncio.create_task(self._follow(sync, wedding_id))
        try:
            yield self
        finally:
            self._watching.cancel()
            await asyncio.gather(self._watching, return_exceptions=True)

    async def _follow(self, sync: SyncClient, wedding_id: str) -> None:
        async with aclosing(sync.watch_wedding(wedding_id, 0)) as messages:
            async for message in messages:
                if message.HasField("change"):
                    self.entries.append(message.change)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """The wedding, the people at the vendors, and what everybody sees."""

    wedding_id: str
    job_id: str
    calendar_url: str
    sync: SyncClient
    gateway: GatewayClient
    photographer: Photographer
    couple: Couple
    payer: Payer
    customer: str
    team: Team
    log: LiveLog
    clock: Clock
    links: dict[str, str] = field(default_factory=dict)
    """Link ids by vendor."""

    async def apart(self, *vendors: str) -> None:
        """Let these vendors work unseen for a while."""
        for vendor in vendors:
            await self.gateway.pause_link(self.links[vendor])

    async def together(self, *vendors: str) -> None:
        """Look at them again."""
        for vendor in vendors:
            await self.gateway.resume_link(self.links[vendor])


@asynccontextmanager
async def set_up(
    sync: SyncClient, gateway: GatewayClient, sandbox: Sandbox, *, send: Send, clock: Clock, keep: bool
) -> AsyncIterator[Stage]:
    """Make and link everything; at the end take down what would go on working, unless it is to be kept."""
    wedding = await sync.create_wedding(wedding_message(TITLE, DAY, ZONE))
    calendar_url = sandbox.calendar_url(f"wedding-{wedding.wedding_id}")
    couple = Couple(calendar_url, sandbox.username, sandbox.password, send)
    photographer = Photographer(sandbox.tave_url, sandbox.tave_key, send)
    payer, team = Payer(sandbox.stripe_url, sandbox.stripe_key, send), Team(sandbox.slack_url, send)
    await couple.make_calendar()
    async with AsyncExitStack() as stack:
        leaving = AsyncExitStack() if keep else await stack.enter_async_context(_within(_LEAVE_SECONDS))
        stage = Stage(
            wedding_id=wedding.wedding_id,
            job_id=await photographer.open_job(TITLE, DAY),
            calendar_url=calendar_url,
            sync=sync,
            gateway=gateway,
            photographer=photographer,
            couple=couple,
            payer=payer,
            customer=await payer.become_customer(TITLE),
            team=team,
            log=await stack.enter_async_context(LiveLog().watching(sync, wedding.wedding_id)),
            clock=clock,
        )
        await _link_calendar(stage, sandbox, leaving)
        await _link_tave(stage, sandbox, leaving)
        await _link_stripe(stage, sandbox, leaving)
        await _link_slack(stage, sandbox, leaving)
        await eventually(lambda: _job_is_in(stage), "the job in Tave did not become a booking", clock)
        yield stage


@asynccontextmanager
async def _within(seconds: float) -> AsyncIterator[AsyncExitStack]:
    """Yield a stack of things to undo; at the end each is tried, for so long in all."""
    undo = AsyncExitStack()
    try:
        yield undo
    finally:
        # The demo is over: what cannot be undone now is no reason to fail it, or to hang.
        with contextlib.suppress(Exception):
            async with asyncio.timeout(seconds):
                await undo.aclose()


async def _link_calendar(stage: Stage, sandbox: Sandbox, leaving: AsyncExitStack) -> None:
    credentials = {"username": sandbox.username, "password": sandbox.password}
    scope = {"calendar_url": stage.calendar_url}
    await _link(stage, leaving, "apple_calendar", credentials, sandbox.caldav_url, scope)


async def _link_tave(stage: Stage, sandbox: Sandbox, leaving: AsyncExitStack) -> None:
    credentials, scope = {"api_key": sandbox.tave_key}, {"job_id": stage.job_id}
    path = await _link(stage, leaving, "tave", credentials, sandbox.tave_url, scope)
    for event in _HOOKS:
        url = f"{sandbox.gateway_url}{path}?event={event}"
        leaving.push_async_callback(
            stage.photographer.unsubscribe, await stage.photographer.subscribe(event, url)
        )


async def _link_stripe(stage: Stage, sandbox: Sandbox, leaving: AsyncExitStack) -> None:
    credentials = {"secret_key": sandbox.stripe_key, "webhook_secret": sandbox.stripe_secret}
    scope = {"customer_id": stage.customer}
    path = await _link(stage, leaving, "stripe", credentials, sandbox.stripe_url, scope)
    await stage.payer.tell(sandbox.gateway_url + path, sandbox.stripe_secret)


async def _link_slack(stage: Stage, sandbox: Sandbox, leaving: AsyncExitStack) -> None:
    credentials = {"bot_token": sandbox.slack_token, "webhook_secret": sandbox.slack_secret}
    scope = {"channel_id": sandbox.slack_channel}
    path = await _link(stage, leaving, "slack", credentials, f"{sandbox.slack_url}/api", scope)
    await stage.team.tell(sandbox.gateway_url + path)
    leaving.push_async_callback(stage.team.tell, "")


async def _link(
    stage: Stage,
    leaving: AsyncExitStack,
    vendor: str,
    credentials: Mapping[str, str],
    base_url: str,
    scope: Mapping[str, str],
) -> str:
    """Connect an account and link it; return the address of its webhooks."""
    connected = await stage.gateway.connect_vendor(vendor, credentials=credentials, base_url=base_url)
    integration_id = connected.integration.integration_id
    link = await stage.gateway.link_wedding(stage.wedding_id, integration_id, scope=scope)
    stage.links[vendor] = link.link_id
    leaving.push_async_callback(stage.gateway.pause_link, link.link_id)
    return connected.webhook_path


async def _job_is_in(stage: Stage) -> Sequence[LoggedChange] | None:
    return stage.log.after(0, ItemKind.BOOKING) or None
