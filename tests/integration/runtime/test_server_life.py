"""A server's life over real gRPC: health, reflection, readiness, draining and the end."""

from __future__ import annotations

import asyncio
import os
import signal

import grpc
import pytest
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from tests.integration.runtime.conftest import wait_for
from tests.integration.runtime.harness import SERVICE, running, settings_with
from wedsync.convert import error_from_rpc
from wedsync.errors import (
    Unavailable,
    WedSyncError,
)
from wedsync.runtime.principal import KeyRing
from wedsync.runtime.server import GrpcServer
from wedsync.runtime.settings import SettingsError
from wedsync.runtime.telemetry import Telemetry


async def test_health_and_reflection_need_no_key_and_name_the_service() -> None:
    """Tools find the service by reflection, and load balancers its health, without a key."""
    async with running() as it:
        assert [await it.status(name) for name in ("", SERVICE)] == ["SERVING", "SERVING"]
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await it.status("no.such.Service")
        assert raised.value.code() is grpc.StatusCode.NOT_FOUND
        listed = await it.health.List(health_pb2.HealthListRequest())
        assert set(listed.statuses) == {"", SERVICE, "grpc.health.v1.Health"}
        stub = reflection_pb2_grpc.ServerReflectionStub(it.channel)
        asked = iter([reflection_pb2.ServerReflectionRequest(list_services="")])
        answers = [answer async for answer in stub.ServerReflectionInfo(asked)]
        assert SERVICE in {s.name for s in answers[0].list_services_response.service}


async def test_readiness_follows_the_hard_dependencies() -> None:
    """While a dependency fails or hangs nothing is served; watchers hear of every change."""
    broken: list[Exception] = [Unavailable()]

    async def check() -> None:
        if broken:
            raise broken[0]

    async with running(checks=[check]) as it:
        watcher = it.health.Watch(health_pb2.HealthCheckRequest(service=SERVICE))
        unknown = it.health.Watch(health_pb2.HealthCheckRequest(service="no.such.Service"))
        assert await it.status() == "NOT_SERVING"
        names = health_pb2.HealthCheckResponse
        assert (await watcher.read()).status == names.NOT_SERVING
        assert (await unknown.read()).status == names.SERVICE_UNKNOWN
        broken.clear()
        assert (await asyncio.wait_for(watcher.read(), 5)).status == names.SERVING
        broken.append(RuntimeError("gone"))
        assert (await asyncio.wait_for(watcher.read(), 5)).status == names.NOT_SERVING


async def test_the_end_tells_watchers_and_streams_and_drains_calls() -> None:
    """On stop: health says NOT_SERVING, streams are told to reconnect, and the running call finishes."""
    release, entered = asyncio.Event(), asyncio.Event()
    async with running(drain_seconds=20) as it:

        async def get(_: str) -> str:
            entered.set()
            await release.wait()
            return "finished"

        it.sync.get = get
        call, stream = asyncio.create_task(it.call()), it.watch()
        health = it.health.Watch(health_pb2.HealthCheckRequest())
        await asyncio.wait_for(entered.wait(), 5)
        assert (await health.read()).status == health_pb2.HealthCheckResponse.SERVING
        for _ in range(3):
            await stream.read()
        stopping = asyncio.create_task(it.server.stop())
        assert (await health.read()).status == health_pb2.HealthCheckResponse.NOT_SERVING
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await asyncio.wait_for(stream.read(), 5)
        error = error_from_rpc(raised.value)
        assert isinstance(error, Unavailable)
        assert "connect again" in str(error)
        with pytest.raises(Unavailable):
            await it.call(timeout=2)
        assert not stopping.done()
        release.set()
        assert await call == "finished"
        await asyncio.wait_for(stopping, 5)


async def test_a_call_that_does_not_end_is_cut_off_at_the_limit() -> None:
    """Draining has an end: what runs longer is cancelled."""
    entered = asyncio.Event()
    async with running(drain_seconds=0.1) as it:

        async def get(_: str) -> str:
            entered.set()
            await asyncio.Event().wait()
            return ""

        it.sync.get = get
        call = asyncio.create_task(it.call())
        await asyncio.wait_for(entered.wait(), 5)
        await asyncio.wait_for(it.server.stop(), 5)
        with pytest.raises(WedSyncError):
            await call


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_ends_the_server(signum: signal.Signals) -> None:
    """SIGTERM and SIGINT make the server stop in order, and a second one does no harm."""
    server = GrpcServer(settings=settings_with(), keys=KeyRing([]), telemetry=Telemetry(), servicers=[])
    serving = asyncio.create_task(server.serve_until_signalled())
    await wait_for(lambda: server.port, 5, "it listens")
    os.kill(os.getpid(), signum)
    await asyncio.wait_for(serving, 5)
    await server.stop()


async def test_a_taken_port_is_said_with_the_cure() -> None:
    """A second server on the same port does not share it: it refuses to start and names the setting."""
    async with running() as it:
        second = GrpcServer(
            settings=settings_with(grpc_port=it.server.port),
            keys=KeyRing([]),
            telemetry=Telemetry(),
            servicers=[],
        )
        with pytest.raises(SettingsError, match="WEDSYNC_GRPC_PORT"):
            await second.start()
        await second.stop()


async def test_a_servicer_that_streams_requests_is_refused_at_once() -> None:
    """A shape of call that the interceptor does not cover cannot be served by accident."""
    with pytest.raises(NotImplementedError, match="ServerReflectionInfo"):
        GrpcServer(
            settings=settings_with(),
            keys=KeyRing([]),
            telemetry=Telemetry(),
            servicers=[(reflection_pb2_grpc.add_ServerReflectionServicer_to_server, _Bidirectional())],
        )


class _Bidirectional(reflection_pb2_grpc.ServerReflectionServicer):  # type: ignore[misc]
    """A servicer whose one method streams both ways."""
