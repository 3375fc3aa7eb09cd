"""A small service behind the real server builder, for tests of the builder."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from wedsync.api.sync.v1 import change_pb2, service_pb2, service_pb2_grpc, wedding_pb2
from wedsync.convert import error_from_rpc
from wedsync.errors import Overloaded, UnknownWedding
from wedsync.runtime.principal import KeyRing, mint_key
from wedsync.runtime.readiness import HealthCheck
from wedsync.runtime.server import GrpcServer
from wedsync.runtime.settings import ServerSettings
from wedsync.runtime.telemetry import Telemetry

SERVICE = "wedsync.api.sync.v1.SyncService"

Get = Callable[[str], Awaitable[str]]


class Sync(service_pb2_grpc.SyncServiceServicer):
    """Does in each call what the test hands in."""

    def __init__(self) -> None:
        self.get: Get = self._echo
        self.ended = asyncio.Event()

    async def _echo(self, wedding_id: str) -> str:
        return wedding_id

    async def GetWedding(self, request: service_pb2.GetWeddingRequest, context: Any) -> wedding_pb2.Wedding:  # noqa: N802  # gRPC's name
        """Return a wedding with what the test's function says for an id."""
        if request.wedding_id == "abort":
            await context.abort(grpc.StatusCode.ALREADY_EXISTS, "by hand")
        return wedding_pb2.Wedding(wedding_id=await self.get(request.wedding_id))

    async def WatchWedding(  # noqa: N802  # gRPC's name
        self, request: service_pb2.WatchWeddingRequest, context: Any
    ) -> AsyncIterator[service_pb2.WatchWeddingResponse]:
        """Say three things, then wait: for ever, unless asked to fail."""
        try:
            for sequence in range(3):
                yield service_pb2.WatchWeddingResponse(sequence=sequence)
            if request.wedding_id == "unknown":
                raise UnknownWedding
            if request.wedding_id != "short":
                await asyncio.Event().wait()
        finally:
            self.ended.set()


class ByHand(Sync):
    """Watches by writing to the context instead of yielding."""

    async def WatchWedding(self, request: Any, context: Any) -> None:  # type: ignore[override]  # noqa: N802
        """Say one thing and return."""
        await context.write(service_pb2.WatchWeddingResponse(sequence=7))


class Impatient(Sync):
    """Gives its reader no time to take the first thing it says."""

    async def WatchWedding(self, request: Any, context: Any) -> None:  # type: ignore[override]  # noqa: N802
        """Say more than goes out unread."""
        large = change_pb2.LoggedChange(change_id="x" * 3_000_000)
        try:
            async with asyncio.timeout(0):
                await context.write(service_pb2.WatchWeddingResponse(change=large))
        except TimeoutError:
            raise Overloaded("The reader is too slow.", retry_after=0.0) from None
        finally:
            self.ended.set()


@dataclass
class Running:
    """A server, its servicer, and a channel to it with a key that may read."""

    server: GrpcServer
    sync: Sync
    channel: grpc.aio.Channel
    key: str
    spans: InMemorySpanExporter
    stub: Any = field(init=False)
    health: Any = field(init=False)

    def __post_init__(self) -> None:
        self.stub = service_pb2_grpc.SyncServiceStub(self.channel)
        self.health = health_pb2_grpc.HealthStub(self.channel)

    async def call(self, wedding_id: str = "w1", *, key: str | None = None, **options: Any) -> str:
        """Get a wedding; raise what the server raised."""
        metadata = [("authorization", f"Bearer {key or self.key}"), *options.pop("metadata", [])]
        request = service_pb2.GetWeddingRequest(wedding_id=wedding_id)
        try:
            wedding = await self.stub.GetWedding(request, metadata=metadata, **options)
        except grpc.RpcError as error:
            raise error_from_rpc(error) from error
        return str(wedding.wedding_id)

    def watch(self, wedding_id: str = "w1") -> Any:
        """Open a stream."""
        request = service_pb2.WatchWeddingRequest(wedding_id=wedding_id)
        return self.stub.WatchWedding(request, metadata=[("authorization", f"Bearer {self.key}")])

    async def status(self, service: str = "") -> str:
        """Ask for the health of one service, without a key."""
        answer = await self.health.Check(health_pb2.HealthCheckRequest(service=service), timeout=5)
        return str(health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status))


@asynccontextmanager
async def running(
    *, sync: Sync | None = None, checks: list[HealthCheck] | None = None, **settings: Any
) -> AsyncIterator[Running]:
    """A server on a free port, stopped at the end."""
    sync = sync or Sync()  # type: ignore[abstract]  # the other methods are not asked for
    key, entry = mint_key(organization_id="org", role="planner", actor="ann", scopes=["read"])
    spans = InMemorySpanExporter()
    server = GrpcServer(
        settings=settings_with(**settings),
        keys=KeyRing([entry]),
        telemetry=Telemetry(processor=SimpleSpanProcessor(spans), ratio=0.0),
        servicers=[(service_pb2_grpc.add_SyncServiceServicer_to_server, sync)],
        checks=checks or [],
        poll_seconds=0.02,
    )
    await server.start()
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
            yield Running(server, sync, channel, key, spans)
    finally:
        await server.stop()


def settings_with(**more: Any) -> ServerSettings:
    """Return settings that need no environment; 0 as port takes a free one."""
    return ServerSettings.model_validate({"database_url": "postgresql://x", "drain_seconds": 2, **more})
