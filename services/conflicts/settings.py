"""Every knob of the conflicts service."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field, SecretStr

from wedsync.runtime.settings import GRPC_PORTS, METRICS_PORTS, GrpcPort, MetricsPort, ServerSettings


class ConflictsSettings(ServerSettings):
    """The shared settings, with this service's ports."""

    service: ClassVar[str] = "conflicts"

    grpc_port: GrpcPort = GRPC_PORTS["conflicts"]
    metrics_port: MetricsPort = METRICS_PORTS["conflicts"]
    worker_database_url: SecretStr = Field(
        description="The same database as the role wedsync_conflicts_worker, for what is due."
    )
    act_slots: int = Field(8, ge=1, le=1000, description="Conflicts acted upon at once. Default 8.")
