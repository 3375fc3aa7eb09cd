"""Builds the service's objects."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass

from services.conflicts.rpc import ConflictsRpc
from services.conflicts.settings import ConflictsSettings
from services.conflicts.store import ConflictsStore
from wedsync.api.conflicts.v1 import service_pb2_grpc
from wedsync.clock import Clock, SystemClock
from wedsync.runtime.database import Database
from wedsync.runtime.principal import KeyRing
from wedsync.runtime.server import GrpcServer
from wedsync.runtime.telemetry import Telemetry


@dataclass(frozen=True, kw_only=True)
class App:
    """The service, as far as somebody outside needs it."""

    server: GrpcServer


@contextlib.asynccontextmanager
async def build(
    settings: ConflictsSettings, *, telemetry: Telemetry, clock: Clock | None = None
) -> AsyncIterator[App]:
    """Build the service; take it down again at the end."""
    database = Database(
        settings.database_url, settings.database_pool_size, application_name="wedsync-conflicts"
    )
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(database.dispose)
        rpc = ConflictsRpc(store=ConflictsStore(database), telemetry=telemetry, clock=clock or SystemClock())
        yield App(
            server=GrpcServer(
                settings=settings,
                keys=KeyRing.from_file(settings.api_keys_file),
                telemetry=telemetry,
                servicers=[(service_pb2_grpc.add_ConflictServiceServicer_to_server, rpc)],
                checks=[database.check],
            )
        )
