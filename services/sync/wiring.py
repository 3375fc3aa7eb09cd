"""Builds the service's objects; the order of reading is the order in which a change meets them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass

from services.sync.actor import RayActors
from services.sync.directory import Directory
from services.sync.edits import AfterCommit, Edits, actors_gauge
from services.sync.facts import Destination
from services.sync.live import Live
from services.sync.outbox import Courier, Deliver, Outbox
from services.sync.pool import Actors, Pool
from services.sync.retention import Retention
from services.sync.rpc import SyncRpc
from services.sync.rpc_answers import watched
from services.sync.rpc_peers import to_conflicts, to_gateway
from services.sync.settings import SyncSettings
from services.sync.store import SyncStore
from services.sync.store_history import HistoryStore
from services.sync.store_log import LogStore
from services.sync.store_worker import KeyStore, OutboxStore
from services.sync.visibility import Visibility
from wedsync.api.sync.v1 import service_pb2_grpc
from wedsync.client import CommitsClient, ConflictsClient, open_channel
from wedsync.clock import Clock, SystemClock
from wedsync.runtime.database import Database, libpq_url
from wedsync.runtime.hints import Hints
from wedsync.runtime.principal import KeyRing
from wedsync.runtime.server import GrpcServer
from wedsync.runtime.telemetry import Telemetry

_GAUGE_SECONDS = 5.0
_SWEEP_CONNECTIONS = 2


@dataclass(frozen=True, kw_only=True)
class App:
    """The running service, as far as somebody outside needs it."""

    server: GrpcServer
    pool: Pool


@contextlib.asynccontextmanager
async def build(
    settings: SyncSettings,
    *,
    telemetry: Telemetry,
    clock: Clock | None = None,
    actors: Actors | None = None,
) -> AsyncIterator[App]:
    """Build the service, with its background work running; take it down again at the end.

    Give `actors` to have the weddings' owners elsewhere than on Ray.
    """
    clock = clock or SystemClock()
    placement = settings.placement()
    async with contextlib.AsyncExitStack() as stack:
        database = Database(
            settings.database_url, settings.database_pool_size, application_name="wedsync-sync"
        )
        stack.push_async_callback(database.dispose)
        worker = Database(
            settings.worker_database_url, _SWEEP_CONNECTIONS, application_name="wedsync-sync-sweep"
        )
        stack.push_async_callback(worker.dispose)
        hints = Hints(settings.redis_url)
        stack.push_async_callback(hints.aclose)
        store, log = SyncStore(database), LogStore(database)
        live = Live(hints, log, show=watched, clock=clock, poll_seconds=settings.sync_poll_seconds)

        outbox_store = OutboxStore(database, worker)
        delivers = await _peers(settings, stack)
        outbox = Outbox(
            {
                to: Courier(to, store=outbox_store, deliver=deliver, telemetry=telemetry, clock=clock)
                for to, deliver in delivers.items()
            }
        )
        pool = Pool(
            actors=actors or _ray(settings, placement.capacity, store),
            leases=store,
            on_answer=AfterCommit(outbox=outbox, live=live),
            placement=placement,
            clock=clock,
        )
        directory = Directory(pool=pool, placement=placement, clock=clock)
        rpc = SyncRpc(
            store=store,
            log=log,
            history=HistoryStore(database),
            visibility=Visibility(store, clock),
            edits=Edits(owners=directory, telemetry=telemetry),
            live=live,
            slow_reader_seconds=settings.sync_slow_reader_seconds,
            clock=clock,
        )
        server = GrpcServer(
            settings=settings,
            keys=KeyRing.from_file(settings.api_keys_file),
            telemetry=telemetry,
            servicers=[(service_pb2_grpc.add_SyncServiceServicer_to_server, rpc)],
            checks=[database.check, pool.check],
        )
        # Taken down in the reverse order: no new calls, then no new commits, then no hand-over.
        live.start()
        stack.push_async_callback(live.stop)
        outbox.start()
        stack.push_async_callback(outbox.stop)
        pool.start()
        stack.push_async_callback(pool.stop)
        retention = Retention(KeyStore(worker), clock)
        retention.start()
        stack.push_async_callback(retention.stop)
        gauge = asyncio.create_task(_show(pool, clock), name="pool-gauge")
        stack.callback(gauge.cancel)
        stack.push_async_callback(server.stop)
        yield App(server=server, pool=pool)


async def _peers(settings: SyncSettings, stack: contextlib.AsyncExitStack) -> dict[Destination, Deliver]:
    key = settings.internal_key()
    gateway = await stack.enter_async_context(open_channel(settings.gateway_target, api_key=key))
    conflicts = await stack.enter_async_context(open_channel(settings.conflicts_target, api_key=key))
    return {
        Destination.GATEWAY: to_gateway(CommitsClient(gateway)),
        Destination.CONFLICTS: to_conflicts(ConflictsClient(conflicts)),
    }


def _ray(settings: SyncSettings, capacity: int, store: SyncStore) -> RayActors:
    return RayActors(
        address=settings.ray_address,
        database_url=libpq_url(settings.database_url),
        capacity=capacity,
        secret=settings.internal_key(),
        where=store.address_of,
    )


async def _show(pool: Pool, clock: Clock) -> None:
    while True:
        used, free = pool.used_and_free
        actors_gauge.labels("used").set(used)
        actors_gauge.labels("free").set(free)
        await clock.sleep(_GAUGE_SECONDS)
