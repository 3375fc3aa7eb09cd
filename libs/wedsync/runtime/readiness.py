"""Is this process able to work? Hard dependencies are polled and the answer served as grpc.health.v1."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from typing import Any, TypeAlias

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

_log = logging.getLogger(__name__)

HealthCheck = Callable[[], Awaitable[None]]
"""Returns if a hard dependency works; raises if it does not."""

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"

_STATUS = health_pb2.HealthCheckResponse


class Readiness(health_pb2_grpc.HealthServicer):  # type: ignore[misc]  # generated without types
    """One answer for the server ("") and for each of its services: hard dependencies are shared by all."""

    def __init__(
        self, checks: Sequence[HealthCheck], *, poll_seconds: float = 2.0, check_seconds: float = 4.0
    ) -> None:
        self._checks = list(checks)
        self._poll_seconds, self._check_seconds = poll_seconds, check_seconds
        self._services: frozenset[str] = frozenset([""])
        self._ready, self._ended = False, False
        self._changed = asyncio.Condition()

    @property
    def ready(self) -> bool:
        """Say whether every hard dependency worked at the last look and no shutdown has begun."""
        return self._ready and not self._ended

    def serve_for(self, services: Iterable[str]) -> None:
        """Name the services this server offers."""
        self._services = frozenset(["", *services])

    async def poll(self) -> None:
        """Look at the dependencies for ever."""
        while True:
            await self.look()
            await asyncio.sleep(self._poll_seconds)

    async def look(self) -> None:
        """Look at every dependency once, all at the same time."""
        results = await asyncio.gather(*(self._works(check) for check in self._checks))
        await self._become(ready=all(results))

    async def end(self) -> None:
        """Answer NOT_SERVING from now on, and let the watchers go."""
        self._ended = True
        async with self._changed:
            self._changed.notify_all()

    async def Check(  # noqa: N802  # gRPC's name
        self, request: health_pb2.HealthCheckRequest, context: Context
    ) -> health_pb2.HealthCheckResponse:
        """Answer for one service."""
        if request.service not in self._services:
            await context.abort(grpc.StatusCode.NOT_FOUND, f"there is no service {request.service!r} here")
        return self._status(request.service)

    async def List(  # noqa: N802  # gRPC's name
        self,
        request: health_pb2.HealthListRequest,  # noqa: ARG002
        context: Context,  # noqa: ARG002
    ) -> health_pb2.HealthListResponse:
        """Answer for every service."""
        return health_pb2.HealthListResponse(statuses={name: self._status(name) for name in self._services})

    async def Watch(  # noqa: N802  # gRPC's name
        self,
        request: health_pb2.HealthCheckRequest,
        context: Context,  # noqa: ARG002
    ) -> AsyncIterator[health_pb2.HealthCheckResponse]:
        """Tell the state, then every change of it, until the server ends."""
        last: health_pb2.HealthCheckResponse | None = None
        while not self._ended or self._status(request.service) != last:
            last = self._status(request.service)
            yield last
            async with self._changed:
                while not self._ended and self._status(request.service) == last:
                    await self._changed.wait()

    def _status(self, service: str) -> health_pb2.HealthCheckResponse:
        if service not in self._services:
            return _STATUS(status=_STATUS.SERVICE_UNKNOWN)
        return _STATUS(status=_STATUS.SERVING if self.ready else _STATUS.NOT_SERVING)

    async def _works(self, check: HealthCheck) -> bool:
        try:
            async with asyncio.timeout(self._check_seconds):
                await check()
        except Exception as error:  # noqa: BLE001  # whatever a check raises means: not ready
            if self._ready:
                _log.warning("not ready any more: %s: %s", type(error).__name__, error)
            return False
        return True

    async def _become(self, *, ready: bool) -> None:
        if ready != self._ready:
            _log.info("ready" if ready else "not ready")
            self._ready = ready
            async with self._changed:
                self._changed.notify_all()


@contextlib.asynccontextmanager
async def polling(readiness: Readiness) -> AsyncIterator[None]:
    """Poll in the background of what is done inside."""
    task = asyncio.create_task(readiness.poll(), name="readiness")
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task], timeout=1)
