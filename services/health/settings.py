"""Every knob of the health service."""

from __future__ import annotations

from typing import ClassVar

from wedsync.runtime.settings import GRPC_PORTS, METRICS_PORTS, GrpcPort, MetricsPort, ServerSettings


class HealthSettings(ServerSettings):
    """The shared settings, with this service's ports."""

    service: ClassVar[str] = "health"

    grpc_port: GrpcPort = GRPC_PORTS["health"]
    metrics_port: MetricsPort = METRICS_PORTS["health"]
