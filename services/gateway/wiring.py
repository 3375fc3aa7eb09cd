"""Builds the gateway's objects; the order of reading is the way of an edit: in, across, out."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import grpc
from starlette.applications import Starlette

from services.gateway.accounts import Accounts
from services.gateway.arrivals import Arrivals
from services.gateway.calls.calls import Calls
from services.gateway.engine import Engine, Stores
from services.gateway.health_report import HealthReport, Operation
from services.gateway.http.app import build_app
from services.gateway.http.events import EventStream
from services.gateway.http.rest import Rest
from services.gateway.http.server import serving_http
from services.gateway.http.webhooks import Webhooks
from services.gateway.link_plan import LinkPlanner
from services.gateway.metrics import observe_vendor_call
from services.gateway.ports import Ports
from services.gateway.replay import Replays
from services.gateway.rpc.accounts import IntegrationRpc
from services.gateway.rpc.commits import CommitRpc
from services.gateway.rpc.decisions import ConflictDecisions
from services.gateway.rpc.deliveries import DeliveryRpc
from services.gateway.rpc.links import LinkRpc
from services.gateway.rpc.reports import HealthReports
from services.gateway.settings import GatewaySettings
from services.gateway.signatures.checks import SignatureChecks
from services.gateway.signatures.documents import KeyDocuments
from services.gateway.store.inbound import Endpoint
from services.gateway.store.integration_rows import Integration
from services.gateway.upkeep import Upkeep
from services.gateway.vendor_http import Limits, VendorHttp
from services.gateway.vendors.manifest import Vendor, load_vendors
from wedsync.api.gateway.v1 import commit_pb2_grpc, delivery_pb2_grpc, integration_pb2_grpc, link_pb2_grpc
from wedsync.client import ConflictsClient, HealthClient, SyncClient, open_channel
from wedsync.clock import Clock, SystemClock
from wedsync.runtime.background import Background
from wedsync.runtime.database import Database
from wedsync.runtime.hints import Hints
from wedsync.runtime.limiter import SharedLimiter
from wedsync.runtime.principal import KeyRing
from wedsync.runtime.server import AddServicer, GrpcServer
from wedsync.runtime.telemetry import Telemetry
from wedsync.runtime.vault import Vault

_SWEEP_CONNECTIONS = 4


@dataclass(frozen=True, kw_only=True)
class App:
    """The running gateway, as far as somebody outside needs it."""

    server: GrpcServer
    http_port: int


@dataclass(frozen=True, kw_only=True)
class _Parts:
    """What the gateway is made of, before anybody may call it."""

    settings: GatewaySettings
    telemetry: Telemetry
    clock: Clock
    vendors: Mapping[str, Vendor]
    stores: Stores
    ports: Ports
    peers: Mapping[str, grpc.aio.Channel]
    sync: SyncClient
    report: HealthReport
    engine: Engine
    accounts: Accounts
    checks: SignatureChecks
    keys: KeyRing
    database: Database


@contextlib.asynccontextmanager
async def build(
    settings: GatewaySettings, *, telemetry: Telemetry, clock: Clock | None = None
) -> AsyncIterator[App]:
    """Build the gateway, with its background work running; take it down again at the end."""
    async with contextlib.AsyncExitStack() as stack:
        parts = await _parts(settings, telemetry, clock or SystemClock(), stack)
        arrivals = Arrivals(store=parts.stores.inbound, onward=parts.engine.webhooks)
        server = GrpcServer(
            settings=settings,
            keys=parts.keys,
            telemetry=telemetry,
            servicers=_servicers(parts),
            checks=[parts.database.check],
        )
        # Taken down in the reverse order: no new calls, then no new work, then no reports.
        stack.push_async_callback(parts.report.flush)
        background = Background(stack, on_failure=server.ask_to_stop)
        background.start(parts.report.run(), "health report")
        parts.engine.start(background)
        background.start(arrivals.run(), "arrivals")
        await server.start()
        stack.push_async_callback(server.stop)
        app = _front(parts, arrivals, lambda: server.readiness.ready)
        port = await stack.enter_async_context(
            serving_http(
                app,
                host=settings.bind_host,
                port=settings.http_port,
                stalled_seconds=settings.slow_reader_seconds,
            )
        )
        yield App(server=server, http_port=port)


async def _parts(
    settings: GatewaySettings, telemetry: Telemetry, clock: Clock, stack: contextlib.AsyncExitStack
) -> _Parts:
    database, worker = _databases(settings, stack)
    stores = Stores.of(database, worker, Vault.from_file(settings.vault_keys_file), clock)
    peers = await _peers(settings, stack)
    sync = SyncClient(peers["sync"])
    report = HealthReport(reports=HealthReports(HealthClient(peers["health"])), clock=clock)
    vendors = _vendors(settings)
    http = _vendor_http(settings, telemetry, stack)
    hints = Hints(settings.redis_url)
    stack.push_async_callback(hints.aclose)
    calls = Calls(http=http, limiter=SharedLimiter(hints, clock), tokens=stores.tokens, clock=clock)
    ports = Ports(vendors=vendors, links=stores.links, http=http, calls=calls)
    stack.push_async_callback(ports.aclose)
    engine = Engine(
        settings,
        stores=stores,
        ports=ports,
        sync=sync,
        decisions=ConflictDecisions(ConflictsClient(peers["conflicts"])),
        telemetry=telemetry,
        clock=clock,
        report=report,
    )
    accounts = Accounts(
        vendors=vendors,
        links=stores.links,
        secrets=stores.secrets,
        ports=ports,
        sync=sync,
        telemetry=telemetry,
        on_link=engine.wake_link,
        on_connect=_reporting(report, Operation.CONNECT),
    )
    return _Parts(
        settings=settings,
        telemetry=telemetry,
        clock=clock,
        vendors=vendors,
        stores=stores,
        ports=ports,
        peers=peers,
        sync=sync,
        report=report,
        engine=engine,
        accounts=accounts,
        checks=SignatureChecks(documents=KeyDocuments(http, clock), clock=clock),
        keys=KeyRing.from_file(settings.api_keys_file),
        database=database,
    )


def _servicers(parts: _Parts) -> list[tuple[AddServicer, Any]]:
    accounts, stores = parts.accounts, parts.stores
    upkeep = Upkeep(
        accounts=accounts,
        links=stores.links,
        endings=stores.endings,
        ports=parts.ports,
        keeper=parts.engine.keeper,
    )
    planner = LinkPlanner(accounts=accounts, ports=parts.ports, projection=stores.projection)
    return [
        (
            integration_pb2_grpc.add_IntegrationServiceServicer_to_server,
            IntegrationRpc(accounts=accounts, upkeep=upkeep, links=stores.links, vendors=parts.vendors),
        ),
        (
            link_pb2_grpc.add_LinkServiceServicer_to_server,
            LinkRpc(accounts=accounts, upkeep=upkeep, planner=planner, links=stores.links, clock=parts.clock),
        ),
        (
            delivery_pb2_grpc.add_DeliveryServiceServicer_to_server,
            DeliveryRpc(store=stores.journeys, latency=stores.latency, replays=_replays(parts)),
        ),
        (
            commit_pb2_grpc.add_CommitServiceServicer_to_server,
            CommitRpc(store=stores.deliveries, onward=parts.engine.deliveries),
        ),
    ]


def _replays(parts: _Parts) -> Replays:
    return Replays(
        store=parts.stores.stuck,
        links=parts.stores.links,
        ports=parts.ports,
        inspector=parts.engine.inspector,
        telemetry=parts.telemetry,
        clock=parts.clock,
        on_replay=parts.engine.webhooks.ask,
        on_retry=parts.engine.deliveries.ask,
    )


def _front(parts: _Parts, arrivals: Arrivals, ready: Callable[[], bool]) -> Starlette:
    stores = parts.stores
    return build_app(
        webhooks=Webhooks(
            secrets=stores.secrets,
            checks=parts.checks,
            channels=stores.channels,
            ports=parts.ports,
            arrivals=arrivals,
            telemetry=parts.telemetry,
            clock=parts.clock,
            vendors=frozenset(parts.vendors),
            public_url=parts.settings.public_url,
            max_at_once=parts.settings.max_webhooks,
            rush=parts.engine.rush,
            saw=_reporting(parts.report, Operation.WEBHOOK),
        ),
        rest=Rest(keys=parts.keys, accounts=parts.accounts, links=stores.links, journeys=stores.journeys),
        events=EventStream(
            sync=parts.sync,
            max_at_once=parts.settings.max_event_streams,
            slow_reader_seconds=parts.settings.slow_reader_seconds,
        ),
        ready=ready,
        degraded=_degraded(parts.peers, parts.settings.public_url),
    )


def _databases(settings: GatewaySettings, stack: contextlib.AsyncExitStack) -> tuple[Database, Database]:
    database = Database(
        settings.database_url, settings.database_pool_size, application_name="wedsync-gateway"
    )
    stack.push_async_callback(database.dispose)
    worker = Database(
        settings.worker_database_url, _SWEEP_CONNECTIONS, application_name="wedsync-gateway-sweep"
    )
    stack.push_async_callback(worker.dispose)
    return database, worker


async def _peers(
    settings: GatewaySettings, stack: contextlib.AsyncExitStack
) -> Mapping[str, grpc.aio.Channel]:
    key = settings.internal_key()
    targets = {
        "sync": settings.sync_target,
        "conflicts": settings.conflicts_target,
        "health": settings.health_target,
    }
    return {
        name: await stack.enter_async_context(open_channel(target, api_key=key))
        for name, target in targets.items()
    }


def _vendor_http(
    settings: GatewaySettings, telemetry: Telemetry, stack: contextlib.AsyncExitStack
) -> VendorHttp:
    @contextlib.asynccontextmanager
    async def traced(method: str, _host: str) -> AsyncIterator[None]:
        with telemetry.span(f"vendor {method}"):
            yield

    limits = Limits(allow_private=settings.vendor_private_addresses)
    http = VendorHttp(limits=limits, observe=observe_vendor_call, around=traced)
    stack.push_async_callback(http.aclose)
    return http


def _degraded(peers: Mapping[str, grpc.aio.Channel], public_url: str | None) -> Callable[[], dict[str, str]]:
    """Return what is away, peers above all: edits wait for them, but none is lost."""
    unset = "WEDSYNC_PUBLIC_URL is not set, so vendors with push channels are only polled"
    lasting = {} if public_url else {"public address": unset}

    def away() -> dict[str, str]:
        failing = grpc.ChannelConnectivity.TRANSIENT_FAILURE
        return lasting | {
            name: "not reachable"
            for name, channel in peers.items()
            if channel.get_state(try_to_connect=True) is failing
        }

    return away


def _vendors(settings: GatewaySettings) -> Mapping[str, Vendor]:
    return {name: _adjusted(vendor, settings) for name, vendor in load_vendors().items()}


def _adjusted(vendor: Vendor, settings: GatewaySettings) -> Vendor:
    manifest = vendor.manifest
    if settings.vendor_poll_seconds is not None:
        manifest = manifest.with_poll_interval(settings.vendor_poll_seconds)
    if settings.vendor_requests_per_second is not None:
        manifest = manifest.with_rate(settings.vendor_requests_per_second)
    if settings.vendor_timeout_seconds is not None:
        manifest = manifest.with_timeout(settings.vendor_timeout_seconds)
    return replace(vendor, manifest=manifest)


def _reporting(report: HealthReport, operation: Operation) -> Callable[[Endpoint | Integration], None]:
    def saw(of: Endpoint | Integration) -> None:
        report.saw(
            organization_id=of.organization_id,
            integration_id=of.integration_id,
            vendor=of.vendor,
            operation=operation,
        )

    return saw
