"""The one gRPC server builder: every service has the same health, limits, interceptors and shutdown."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Any

import grpc
from grpc_health.v1 import health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from wedsync.runtime.interceptor import CallInterceptor
from wedsync.runtime.principal import KeyRing
from wedsync.runtime.readiness import HealthCheck, Readiness, polling
from wedsync.runtime.settings import ServerSettings, SettingsError
from wedsync.runtime.telemetry import Telemetry

_log = logging.getLogger(__name__)

AddServicer = Callable[[Any, Any], None]
"""A generated function `add_<Service>Servicer_to_server`."""

MAX_MESSAGE_BYTES = 4 * 1024 * 1024

# Room above our own limits, which answer with a retry time, for health, reflection and refusals.
_SPARE_RPCS = 200

_OPTIONS: Mapping[str, int] = {
    "grpc.max_receive_message_length": MAX_MESSAGE_BYTES,
    "grpc.max_send_message_length": MAX_MESSAGE_BYTES,
    "grpc.so_reuseport": 0,  # a second start must fail, not share the port
    "grpc.keepalive_time_ms": 60_000,
    "grpc.keepalive_timeout_ms": 20_000,
    "grpc.keepalive_permit_without_calls": 1,
    "grpc.http2.min_ping_interval_without_data_ms": 20_000,
    "grpc.max_connection_age_ms": 30 * 60_000,  # lets clients find new replicas
    "grpc.max_connection_age_grace_ms": 10 * 60_000,
}


class GrpcServer:
    """A gRPC server of asyncio servicers, with health, reflection and an orderly end.

    `servicers` are pairs: the generated `add_..._to_server` and the servicer. `checks` are the hard
    dependencies; while one of them fails, every service is NOT_SERVING.
    """

    def __init__(
        self,
        *,
        settings: ServerSettings,
        keys: KeyRing,
        telemetry: Telemetry,
        servicers: Iterable[tuple[AddServicer, Any]],
        checks: Sequence[HealthCheck] = (),
        poll_seconds: float = 2.0,
    ) -> None:
        self._settings = settings
        self.readiness = Readiness(checks, poll_seconds=poll_seconds)
        self._calls = CallInterceptor(
            service=settings.service,
            keys=keys,
            telemetry=telemetry,
            call_seconds=settings.call_seconds,
            max_calls=settings.max_calls,
            max_streams=settings.max_streams,
        )
        self._server = grpc.aio.server(
            interceptors=[self._calls],
            options=list(_OPTIONS.items()),
            maximum_concurrent_rpcs=settings.max_calls + settings.max_streams + _SPARE_RPCS,
        )
        self._services = _register(
            self._server, [*servicers, (health_pb2_grpc.add_HealthServicer_to_server, self.readiness)]
        )
        self.readiness.serve_for(self._services)
        reflection.enable_server_reflection([*self._services, reflection.SERVICE_NAME], self._server)
        self._running = AsyncExitStack()
        self._stop_asked = asyncio.Event()
        self.port = 0
        """The port it listens on, once started."""

    async def start(self) -> None:
        """Listen, and keep looking at the dependencies. Raises `SettingsError` if the port is taken."""
        self.port = self._bind()
        await self.readiness.look()
        await self._server.start()
        await self._running.enter_async_context(polling(self.readiness))
        _log.info("serving %s on %s:%d", ", ".join(self._services), self._settings.bind_host, self.port)

    async def stop(self) -> None:
        """NOT_SERVING at once, no new calls, streams told to reconnect, running calls drained. Repeatable."""
        await self._running.aclose()
        await self.readiness.end()
        self._calls.end_streams()
        await self._server.stop(self._settings.drain_seconds)

    def ask_to_stop(self) -> None:
        """Make `serve_until_signalled` return, as SIGTERM does."""
        self._stop_asked.set()

    async def serve_until_signalled(self) -> None:
        """Serve until SIGTERM or SIGINT, then end in order. Starts the server if that was not done yet."""
        loop = asyncio.get_running_loop()
        signals = (signal.SIGTERM, signal.SIGINT)
        for signum in signals:
            loop.add_signal_handler(signum, self.ask_to_stop)
        try:
            if not self.port:
                await self.start()
            await self._stop_asked.wait()
            _log.info("draining for at most %g s", self._settings.drain_seconds)
        finally:
            await self.stop()
            for signum in signals:
                loop.remove_signal_handler(signum)

    def _bind(self) -> int:
        address = f"{self._settings.bind_host}:{self._settings.grpc_port}"
        try:
            return self._server.add_insecure_port(address)
        except RuntimeError as error:
            raise SettingsError(
                f"WEDSYNC_GRPC_PORT={self._settings.grpc_port}: {address} is not to be had; "
                "choose another port, or end the program that uses it"
            ) from error


class _Recorder:
    """Stands in for the server while servicers are added, to learn their services' full names."""

    def __init__(self, server: grpc.aio.Server) -> None:
        self._server = server
        self.services: list[str] = []

    def add_generic_rpc_handlers(self, handlers: Sequence[grpc.ServiceRpcHandler]) -> None:
        self.services.extend(handler.service_name() for handler in handlers)
        self._server.add_generic_rpc_handlers(handlers)

    def add_registered_method_handlers(self, service: str, handlers: Mapping[str, Any]) -> None:
        if streaming := [name for name, handler in handlers.items() if handler.request_streaming]:
            raise NotImplementedError(
                f"{service}: {streaming} stream requests; CallInterceptor cannot do that"
            )
        self._server.add_registered_method_handlers(service, handlers)


def _register(server: grpc.aio.Server, servicers: Iterable[tuple[AddServicer, Any]]) -> list[str]:
    recorder = _Recorder(server)
    for add, servicer in servicers:
        add(servicer, recorder)
    return recorder.services
