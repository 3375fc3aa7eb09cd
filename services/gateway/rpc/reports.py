"""Tallies as messages for the health service."""

from __future__ import annotations

from collections.abc import Sequence

from services.gateway.health_report import Tally
from wedsync.api.health.v1 import service_pb2
from wedsync.client import HealthClient
from wedsync.convert.changes import timestamp

MAX_SENT = 500


class HealthReports:
    """Hands tallies to the health service."""

    def __init__(self, client: HealthClient) -> None:
        self._client = client

    async def send(self, tallies: Sequence[Tally]) -> None:
        """Hand the tallies over; safe to repeat."""
        for start in range(0, len(tallies), MAX_SENT):
            part = tallies[start : start + MAX_SENT]
            await self._client.record_observations([_observation(tally) for tally in part])


def _observation(tally: Tally) -> service_pb2.Observation:
    return service_pb2.Observation(
        observation_id=tally.observation_id,
        integration_id=tally.integration_id,
        organization_id=tally.organization_id,
        vendor=tally.vendor,
        operation=service_pb2.Operation.Value(f"OPERATION_{tally.operation.value.upper()}"),
        successes=tally.successes,
        failures=tally.failures,
        last_error=tally.last_error,
        observe_time=timestamp(tally.seen_at),
    )
