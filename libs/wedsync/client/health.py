"""The health service."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Unpack

import grpc

from wedsync.api.health.v1 import service_pb2, service_pb2_grpc
from wedsync.client.calls import CallOptions, pages, unary


class HealthClient:
    """How well each vendor's system is doing."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = service_pb2_grpc.HealthServiceStub(channel)

    async def record_observations(
        self, observations: Sequence[service_pb2.Observation], **options: Unpack[CallOptions]
    ) -> None:
        """Internal: report what was seen. Safe to repeat with the same observation ids."""
        request = service_pb2.RecordObservationsRequest(observations=observations)
        await unary(self._stub.RecordObservations, request, options)

    async def get_integration_health(
        self, integration_id: str, **options: Unpack[CallOptions]
    ) -> service_pb2.IntegrationHealth:
        """Return how one integration is doing. Raises `NotFound` until it was first observed."""
        request = service_pb2.GetIntegrationHealthRequest(integration_id=integration_id)
        return await unary(self._stub.GetIntegrationHealth, request, options)

    def list_integration_health(
        self, *, page_size: int = 0, **options: Unpack[CallOptions]
    ) -> AsyncIterator[service_pb2.IntegrationHealth]:
        """Yield how each of the caller's integrations is doing."""

        async def fetch(token: str) -> tuple[Sequence[service_pb2.IntegrationHealth], str]:
            request = service_pb2.ListIntegrationHealthRequest(page_size=page_size, page_token=token)
            answer = await unary(self._stub.ListIntegrationHealth, request, options)
            return answer.integrations, answer.next_page_token

        return pages("", fetch)
