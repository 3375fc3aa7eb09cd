"""The background work: webhooks read, vendors polled, changes sent, deliveries made.

Each kind runs in a loop of its own, so that none holds up another. What one has for the next is committed
first, and then handed over in memory as far as there is room; the database has the rest, and everything.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Self, TypeVar

from services.gateway.apart import Apart
from services.gateway.calls.bulkhead import Bulkhead
from services.gateway.deliver.worker import Deliverer
from services.gateway.dispatch import Dispatcher
from services.gateway.health_report import HealthReport, Operation
from services.gateway.inspect_record import Inspector
from services.gateway.onward import Onward
from services.gateway.poll import Poller
from services.gateway.ports import Ports
from services.gateway.push import ChannelKeeper
from services.gateway.records import NO_OWNER, Busy, Link, Owner
from services.gateway.rush import Rush
from services.gateway.settings import GatewaySettings
from services.gateway.store.activities import ActivityStore
from services.gateway.store.channels import ChannelStore
from services.gateway.store.deliveries import DeliveryStore
from services.gateway.store.endings import EndingStore
from services.gateway.store.inbound import InboundStore
from services.gateway.store.journeys import JourneyStore
from services.gateway.store.latency import LatencyStore
from services.gateway.store.leases import RecordLeases
from services.gateway.store.links import LinkStore
from services.gateway.store.polls import PollStore
from services.gateway.store.projection import ProjectionStore
from services.gateway.store.secrets import SecretStore
from services.gateway.store.stuck import StuckStore
from services.gateway.store.tokens import TokenStore
from services.gateway.translate import Decisions, Translator
from services.gateway.vendors.port import BudgetSpent, VendorError
from wedsync.client import SyncClient
from wedsync.clock import Clock
from wedsync.runtime.background import Background
from wedsync.runtime.database import Database
from wedsync.runtime.pump import GAP_SECONDS, IDLE_SECONDS, Pump
from wedsync.runtime.telemetry import Telemetry
from wedsync.runtime.vault import Vault

Task = TypeVar("Task")

_DRAIN_SECONDS = 10.0
# How late a poll or a next try may begin: nobody wakes these loops for a time that has come.
_TIMED_IDLE_SECONDS = 0.25
# How long a busy gateway waits for more to join a wave of webhooks, and in the stages after that.
_WAVE_SECONDS, _STAGE_SECONDS = 0.06, 0.03


@dataclass(frozen=True, kw_only=True)
class Stores:
    """Everything the gateway keeps, by subject."""

    inbound: InboundStore
    activities: ActivityStore
    leases: RecordLeases
    links: LinkStore
    polls: PollStore
    projection: ProjectionStore
    endings: EndingStore
    stuck: StuckStore
    secrets: SecretStore
    channels: ChannelStore
    tokens: TokenStore
    deliveries: DeliveryStore
    journeys: JourneyStore
    latency: LatencyStore

    @classmethod
    def of(cls, database: Database, worker: Database, vault: Vault, clock: Clock) -> Self:
        """Return the stores on these connections."""
        links = LinkStore(database, vault)
        return cls(
            inbound=InboundStore(database, worker),
            activities=ActivityStore(database, worker, clock),
            leases=RecordLeases(database),
            links=links,
            polls=PollStore(database, worker),
            projection=ProjectionStore(database),
            endings=EndingStore(database, vault),
            stuck=StuckStore(database),
            secrets=SecretStore(database, vault),
            channels=ChannelStore(database, worker, links, vault),
            tokens=TokenStore(database, vault),
            deliveries=DeliveryStore(database, worker),
            journeys=JourneyStore(database),
            latency=LatencyStore(database),
        )


class Engine:
    """The loops, and who wakes whom."""

    def __init__(
        self,
        settings: GatewaySettings,
        *,
        stores: Stores,
        ports: Ports,
        sync: SyncClient,
        decisions: Decisions,
        telemetry: Telemetry,
        clock: Clock,
        report: HealthReport,
    ) -> None:
        self._settings, self._stores, self._ports = settings, stores, ports
        self._telemetry, self._clock, self._report = telemetry, clock, report
        self._decisions = decisions
        self._apart = Apart(stores.inbound)
        self.rush = Rush(on_over=lambda: self._translate.wake())  # noqa: PLW0108
        # The pumps are made last, of what hands work to them.
        self.webhooks = self._onward(
            stores.inbound.claim,
            lambda: self._translate.wake(),  # noqa: PLW0108
            IDLE_SECONDS,
            owner=lambda webhook: webhook.owner,
        )
        self.changes = self._onward(
            lambda limit, _: stores.activities.claim(limit),
            lambda: self._send.wake(),  # noqa: PLW0108
            IDLE_SECONDS,
            urgency=lambda activity: activity.backfill,
        )
        self.deliveries = self._onward(
            stores.deliveries.claim,
            lambda: self._deliver.wake(),  # noqa: PLW0108
            _TIMED_IDLE_SECONDS,
            urgency=lambda claimed: claimed.urgency,
            owner=lambda claimed: claimed.owner,
        )
        self.inspector = Inspector(
            ports=ports,
            links=stores.links,
            leases=stores.leases,
            inbound=stores.inbound,
            onward=self.changes,
            telemetry=telemetry,
            clock=clock,
        )
        self.keeper = ChannelKeeper(
            store=stores.channels,
            links=stores.links,
            ports=ports,
            clock=clock,
            public_url=settings.public_url,
            on_opened=self._wake_poll,
        )
        self._sender = Dispatcher(
            store=stores.activities, changes=self.changes, sync=sync, on_corrected=self.deliveries.ask
        )
        self._translate, self._poll = self._translating(), self._polling()
        self._send, self._deliver = self._sending(), self._delivering()
        self._push = self._pushing()

    def start(self, background: Background) -> None:
        """Start all loops; at the end let what is being handled finish."""
        pumps: tuple[Pump[Any], ...] = (self._deliver, self._send, self._translate, self._poll, self._push)
        for pump in pumps:
            background.at_the_end(pump.drain, _DRAIN_SECONDS)
            background.start(pump.run(), pump.name)

    def wake_link(self) -> None:
        """Something was linked: look at the vendor, and bring it what is there already."""
        self._poll.wake()
        self.deliveries.ask()
        self._push.wake()

    def _translating(self) -> Pump[Any]:
        translator = Translator(
            inbound=self._stores.inbound,
            links=self._stores.links,
            apart=self._apart,
            ports=self._ports,
            inspector=self.inspector,
            decisions=self._decisions,
            on_wake=self._wake_poll,
        )
        slots = self._settings.translate_slots
        claim = self.rush.lets_by(self.webhooks.claim, slots)
        return self._guarded("translate", slots, claim, translator.translate, longest_gap=_WAVE_SECONDS)

    def _polling(self) -> Pump[Any]:
        poller = Poller(
            polls=self._stores.polls,
            links=self._stores.links,
            apart=self._apart,
            ports=self._ports,
            inspector=self.inspector,
            telemetry=self._telemetry,
            clock=self._clock,
            report=self._seen(Operation.READ),
            missed=self._missed,
        )
        return self._guarded(
            "poll", self._settings.poll_slots, poller.claim, poller.poll, _TIMED_IDLE_SECONDS
        )

    def _sending(self) -> Pump[Any]:
        return Pump(
            "send",
            claim=self._sender.claim,
            handle=self._sender.send,
            slots=self._settings.send_slots,
            clock=self._clock,
            longest_gap=_STAGE_SECONDS,
        )

    def _delivering(self) -> Pump[Any]:
        deliverer = Deliverer(
            store=self._stores.deliveries,
            leases=self._stores.leases,
            links=self._stores.links,
            ports=self._ports,
            inspector=self.inspector,
            telemetry=self._telemetry,
            clock=self._clock,
            report=self._seen(Operation.WRITE),
        )
        slots = self._settings.deliver_slots
        return self._guarded(
            "deliver",
            slots,
            self.deliveries.claim,
            deliverer.deliver,
            _TIMED_IDLE_SECONDS,
            longest_gap=_STAGE_SECONDS,
        )

    def _pushing(self) -> Pump[Any]:
        return self._guarded("push", self._settings.push_slots, self.keeper.claim, self.keeper.tend)

    def _onward(
        self,
        claim: Callable[[int, Busy], Awaitable[Sequence[Task]]],
        wake: Callable[[], None],
        idle_seconds: float,
        urgency: Callable[[Task], int] = lambda _: 0,
        owner: Callable[[Task], Owner] = lambda _: NO_OWNER,
    ) -> Onward[Task]:
        return Onward(
            claim=claim,
            wake=wake,
            idle_seconds=idle_seconds,
            urgency=urgency,
            owner=owner,
            clock=self._clock.monotonic,
        )

    def _guarded(
        self,
        name: str,
        slots: int,
        claim: Callable[[int, Busy], Awaitable[Sequence[Any]]],
        handle: Callable[[Any], Awaitable[None]],
        idle_seconds: float = IDLE_SECONDS,
        longest_gap: float = GAP_SECONDS,
    ) -> Pump[Any]:
        """Return the pump of work that calls vendors: none of them takes all its places."""
        bulkhead: Bulkhead[Any] = Bulkhead(slots=slots, claim=claim, handle=handle)
        return Pump(
            name,
            claim=bulkhead.claim,
            handle=bulkhead.handle,
            slots=slots,
            clock=self._clock,
            idle_seconds=idle_seconds,
            longest_gap=longest_gap,
        )

    def _wake_poll(self) -> None:
        self._poll.wake()

    def _missed(self, link: Link) -> None:
        # A vendor whose bridge are webhooks should have told; of others we never expect it.
        if self._ports.manifest(link.vendor).bridge_class == "webhook":
            self._seen(Operation.MISSED_WEBHOOK)(link, None)

    def _seen(self, operation: Operation) -> Callable[[Link, VendorError | None], None]:
        def saw(link: Link, error: VendorError | None) -> None:
            if isinstance(error, BudgetSpent):  # our own patience: it says nothing of the vendor
                return
            self._report.saw(
                organization_id=link.organization_id,
                integration_id=link.integration_id,
                vendor=link.vendor,
                operation=operation,
                error=error,
            )

        return saw
