"""What may be asked of the health service: translate, call, translate back."""
# ruff: noqa: N802, ARG002  # names and parameters are gRPC's

from __future__ import annotations

from typing import Any

import grpc

from services.health import rpc_requests as requests
from services.health.score import Health
from services.health.store import HealthStore
from wedsync.api.health.v1 import service_pb2, service_pb2_grpc
from wedsync.clock import Clock
from wedsync.convert.changes import timestamp
from wedsync.runtime.metrics import observe_stage
from wedsync.runtime.principal import Scope, require
from wedsync.runtime.requests import page_size, require_id

Context = grpc.aio.ServicerContext[Any, Any]


class HealthRpc(service_pb2_grpc.HealthServiceServicer):
    """The servicer of `HealthService`."""

    def __init__(self, *, store: HealthStore, clock: Clock) -> None:
        self._store, self._clock = store, clock

    async def RecordObservations(
        self, request: service_pb2.RecordObservationsRequest, context: Context
    ) -> service_pb2.RecordObservationsResponse:
        """Count what a service saw."""
        require(Scope.INTERNAL)
        now = self._clock.now()
        observations = requests.observations_from(request, now)
        await self._store.record(observations, now)
        for observation in observations:
            waited = (self._clock.now() - observation.observed_at).total_seconds()
            observe_stage("health", "observe", waited, vendor=observation.vendor)
        return service_pb2.RecordObservationsResponse()

    async def GetIntegrationHealth(
        self, request: service_pb2.GetIntegrationHealthRequest, context: Context
    ) -> service_pb2.IntegrationHealth:
        """Return how one integration is doing."""
        caller = require(Scope.READ)
        integration_id = require_id("integration_id", request.integration_id)
        return _message(await self._store.get(caller.organization_id, integration_id, self._clock.now()))

    async def ListIntegrationHealth(
        self, request: service_pb2.ListIntegrationHealthRequest, context: Context
    ) -> service_pb2.ListIntegrationHealthResponse:
        """List how the caller's integrations are doing."""
        caller, size = require(Scope.READ), page_size(request.page_size)
        after = requests.page_start(request.page_token)
        found = await self._store.page(caller.organization_id, self._clock.now(), limit=size + 1, after=after)
        page, more = found[:size], len(found) > size
        return service_pb2.ListIntegrationHealthResponse(
            integrations=[_message(health) for health in page],
            next_page_token=page[-1].status.integration_id if more else "",
        )


def _message(health: Health) -> service_pb2.IntegrationHealth:
    status = health.status
    return service_pb2.IntegrationHealth(
        integration_id=status.integration_id,
        vendor=status.vendor,
        last_success_time=timestamp(status.last_success_at) if status.last_success_at else None,
        last_failure_time=timestamp(status.last_failure_at) if status.last_failure_at else None,
        last_error=status.last_error,
        freshness_seconds=health.freshness.total_seconds(),
        success_rate=health.success_rate,
        attempts=health.attempts,
        score=health.score,
        state=health.state.value,
        causes=[
            service_pb2.Cause(code=cause.code, description=cause.description, points=cause.points)
            for cause in health.causes
        ],
    )
