"""Builds the gateway's objects; the order of reading is the way of an edit: in, across, out."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import grpc

from services.gateway.accounts import Accounts
from services.gateway.arrivals import Arrivals
from services.gateway.background import Background
from services.gateway.deliver.worker import Deliverer
from services.gateway.dispatch import Dispatcher
from services.gateway.health_report import HealthReport, Operation
from services.gateway.http.app import build_app
from services.gateway.http.events import EventStream
from services.gateway.http.rest import Rest
from services.gateway.http.server import serving_http
from services.gateway.http.webhooks import Webhooks
from services.gateway.inspect_record import Inspector
from services.gateway.metrics import observe_vendor_call
from services.gateway.poll import Poller
from services.gateway.ports import Ports
from services.gateway.pump import Pump
from services.gateway.records import Link
from services.gateway.rpc.accounts import IntegrationRpc, LinkRpc
from services.gateway.rpc.commits import CommitRpc
from services.gateway.rpc.deliveries import DeliveryRpc
from services.gateway.rpc.reports import HealthReports
from services.gateway.settings import GatewaySettings
from services.gateway.store.activities import ActivityStore
from services.gateway.store.deliveries import DeliveryStore
from services.gateway.store.inbound import Endpoint, InboundStore
from services.gateway.store.journeys import JourneyStore
from services.gateway.store.leases import RecordLeases
from services.gateway.store.links import LinkStore
from services.gateway.translate import Translator
from services.gateway.vendor_http import Limits, VendorHttp
from services.gateway.vendors.manifest import Vendor, load_vendors
from services.gateway.vendors.port import VendorError
from wedsync.api.gateway.v1 import commit_pb2_grpc, delivery_pb2_grpc, integration_pb2_grpc, link_pb2_grpc
from wedsync.client import HealthClient, SyncClient, open_channel
from wedsync.clock import Clock, SystemClock
from wedsync.runtime.database import Database
from wedsync.runtime.principal import KeyRing
from wedsync.runtime.server import GrpcServer
from wedsync.runtime.telemetry import Telemetry
from wedsync.runtime.vault import Vault

_SWEEP_CONNECTIONS = 4
_DRAIN_SECONDS = 10.0
# Beside the pools: every slot may hold a connection while it commits.
_POLL_IDLE_SECONDS = 0.25


@dataclass(frozen=True, kw_only=True)
class App:
    """The running gateway, as far as somebody outside needs it."""

    server: GrpcServer
    http_port: int


@dataclass(frozen=True, kw_only=True)
class _Stores:
    inbound: InboundStore
    activities: ActivityStore
    leases: RecordLeases
    links: LinkStore
    deliveries: DeliveryStore
    journeys: JourneyStore


@contextlib.asynccontextmanager
async def build(
    settings: GatewaySettings, *, telemetry: Telemetry, clock: Clock | None = None
) -> AsyncIterator[App]:
    """Build the gateway, with its background work running; take it down again at the end."""
    clock = clock or SystemClock()
    async with contextlib.AsyncExitStack() as stack:
        database, worker = await _databases(settings, stack)
        vault = Vault.from_file(settings.vault_keys_file)
        stores = _Stores(
            inbound=InboundStore(database, worker),
            activities=ActivityStore(database, worker, clock),
            leases=RecordLeases(database),
            links=LinkStore(database, worker, vault),
            deliveries=DeliveryStore(database, worker),
            journeys=JourneyStore(database),
        )
        key = settings.internal_key()
        sync_channel = await stack.enter_async_context(open_channel(settings.sync_target, api_key=key))
        sync = SyncClient(sync_channel)
        health_channel = await stack.enter_async_context(open_channel(settings.health_target, api_key=key))
        report = HealthReport(reports=HealthReports(HealthClient(health_channel)), clock=clock)

        vendors = _vendors(settings)
        http = VendorHttp(
            limits=Limits(allow_private=settings.vendor_private_addresses),
            observe=observe_vendor_call,
            around=_traced(telemetry),
        )
        stack.push_async_callback(http.aclose)
        ports = Ports(vendors=vendors, links=stores.links, http=http)
        stack.push_async_callback(ports.aclose)

        pumps = _Pumps(settings, stores, ports, sync, telemetry, clock, report)
        arrivals = Arrivals(store=stores.inbound, on_accepted=pumps.translate.wake)
        accounts = Accounts(
            vendors=vendors,
            links=stores.links,
            ports=ports,
            sync=sync,
            telemetry=telemetry,
            on_link=pumps.wake,
        )
        keys = KeyRing.from_file(settings.api_keys_file)
        server = GrpcServer(
            settings=settings,
            keys=keys,
            telemetry=telemetry,
            servicers=[
                (
                    integration_pb2_grpc.add_IntegrationServiceServicer_to_server,
                    IntegrationRpc(accounts=accounts, links=stores.links, vendors=vendors),
                ),
                (
                    link_pb2_grpc.add_LinkServiceServicer_to_server,
                    LinkRpc(accounts=accounts, links=stores.links),
                ),
                (
                    delivery_pb2_grpc.add_DeliveryServiceServicer_to_server,
                    DeliveryRpc(store=stores.journeys),
                ),
                (
                    commit_pb2_grpc.add_CommitServiceServicer_to_server,
                    CommitRpc(store=stores.deliveries, on_commit=pumps.deliver.wake),
                ),
            ],
            checks=[database.check],
        )
        app = build_app(
            webhooks=Webhooks(
                store=stores.inbound,
                links=stores.links,
                ports=ports,
                arrivals=arrivals,
                telemetry=telemetry,
                clock=clock,
                vendors=frozenset(vendors),
                max_at_once=settings.max_webhooks,
                saw=_webhook_seen(report),
            ),
            rest=Rest(keys=keys, accounts=accounts, links=stores.links, journeys=stores.journeys),
            events=EventStream(sync=sync, max_at_once=settings.max_event_streams),
            ready=lambda: server.readiness.ready,
            degraded=_degraded({"sync": sync_channel, "health": health_channel}),
        )
        # Taken down in the reverse order: no new calls, then no new work, then no reports.
        stack.push_async_callback(report.flush)
        background = Background(stack, on_failure=server.ask_to_stop)
        background.start(report.run(), "health report")
        pumps.start(background)
        background.start(arrivals.run(), "arrivals")
        await server.start()
        stack.push_async_callback(server.stop)
        port = await stack.enter_async_context(
            serving_http(app, host=settings.bind_host, port=settings.http_port)
        )
        yield App(server=server, http_port=port)


class _Pumps:
    """The background work, each kind in a loop of its own so that none holds up another."""

    def __init__(
        self,
        settings: GatewaySettings,
        stores: _Stores,
        ports: Ports,
        sync: SyncClient,
        telemetry: Telemetry,
        clock: Clock,
        report: HealthReport,
    ) -> None:
        inspector = Inspector(
            ports=ports,
            links=stores.links,
            leases=stores.leases,
            inbound=stores.inbound,
            telemetry=telemetry,
            clock=clock,
        )
        translator = Translator(
            inbound=stores.inbound,
            links=stores.links,
            ports=ports,
            inspector=inspector,
            on_change=self._changed,
        )
        poller = Poller(
            links=stores.links,
            inbound=stores.inbound,
            ports=ports,
            inspector=inspector,
            telemetry=telemetry,
            clock=clock,
            on_change=self._changed,
            report=_link_seen(report, Operation.READ),
        )
        dispatcher = Dispatcher(store=stores.activities, sync=sync, on_resolved=self._resolved)
        deliverer = Deliverer(
            store=stores.deliveries,
            leases=stores.leases,
            links=stores.links,
            ports=ports,
            inspector=inspector,
            telemetry=telemetry,
            clock=clock,
            on_change=self._changed,
            report=_link_seen(report, Operation.WRITE),
        )
        self.translate = Pump(
            "translate",
            claim=translator.claim,
            handle=translator.translate,
            slots=settings.translate_slots,
            clock=clock,
        )
        self.poll = Pump(
            "poll",
            claim=poller.claim,
            handle=poller.poll,
            slots=settings.poll_slots,
            clock=clock,
            idle_seconds=_POLL_IDLE_SECONDS,
        )
        self.send = Pump(
            "send", claim=dispatcher.claim, handle=dispatcher.send, slots=settings.send_slots, clock=clock
        )
        self.deliver = Pump(
            "deliver",
            claim=deliverer.claim,
            handle=deliverer.deliver,
            slots=settings.deliver_slots,
            clock=clock,
            idle_seconds=_POLL_IDLE_SECONDS,
        )

    def start(self, background: Background) -> None:
        """Start all loops; at the end let what is being handled finish."""
        for name in ("deliver", "send", "translate", "poll"):
            pump: Pump[Any] = getattr(self, name)
            background.at_the_end(pump.drain, _DRAIN_SECONDS)
            background.start(pump.run(), name)

    def _changed(self) -> None:
        self.send.wake()

    def _resolved(self) -> None:
        self.deliver.wake()

    def wake(self) -> None:
        """Something was linked: look at the vendor, and bring it what is there already."""
        self.poll.wake()
        self.deliver.wake()


async def _databases(
    settings: GatewaySettings, stack: contextlib.AsyncExitStack
) -> tuple[Database, Database]:
    database = Database(
        settings.database_url, settings.database_pool_size, application_name="wedsync-gateway"
    )
    stack.push_async_callback(database.dispose)
    worker = Database(
        settings.worker_database_url, _SWEEP_CONNECTIONS, application_name="wedsync-gateway-sweep"
    )
    stack.push_async_callback(worker.dispose)
    return database, worker


def _degraded(peers: Mapping[str, grpc.aio.Channel]) -> Callable[[], dict[str, str]]:
    """Return which peers are away: edits wait for them, but none is lost."""

    def away() -> dict[str, str]:
        failing = grpc.ChannelConnectivity.TRANSIENT_FAILURE
        return {
            name: "not reachable"
            for name, channel in peers.items()
            if channel.get_state(try_to_connect=True) is failing
        }

    return away


def _vendors(settings: GatewaySettings) -> Mapping[str, Vendor]:
    seconds, vendors = settings.vendor_poll_seconds, load_vendors()
    if seconds is None:
        return vendors
    return {
        name: replace(vendor, manifest=vendor.manifest.with_poll_interval(seconds))
        for name, vendor in vendors.items()
    }


def _traced(telemetry: Telemetry) -> Callable[[str, str], contextlib.AbstractAsyncContextManager[None]]:
    @contextlib.asynccontextmanager
    async def around(method: str, _host: str) -> AsyncIterator[None]:
        with telemetry.span(f"vendor {method}"):
            yield

    return around


def _link_seen(report: HealthReport, operation: Operation) -> Callable[[Link, VendorError | None], None]:
    def saw(link: Link, error: VendorError | None) -> None:
        report.saw(
            organization_id=link.organization_id,
            integration_id=link.integration_id,
            vendor=link.vendor,
            operation=operation,
            error=error,
        )

    return saw


def _webhook_seen(report: HealthReport) -> Callable[[Endpoint], None]:
    def saw(endpoint: Endpoint) -> None:
        report.saw(
            organization_id=endpoint.organization_id,
            integration_id=endpoint.integration_id,
            vendor=endpoint.vendor,
            operation=Operation.WEBHOOK,
        )

    return saw
