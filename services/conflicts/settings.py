"""Every knob of the conflicts service."""

from __future__ import annotations

from typing import ClassVar

from wedsync.runtime.settings import GRPC_PORTS, METRICS_PORTS, GrpcPort, MetricsPort, ServerSettings


class ConflictsSettings(ServerSettings):
    """The shared settings, with this service's ports."""

    service: ClassVar[str] = "conflicts"

    grpc_port: GrpcPort = GRPC_PORTS["conflicts"]
    metrics_port: MetricsPort = METRICS_PORTS["conflicts"]
