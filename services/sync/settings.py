"""Every knob of the sync service."""

from __future__ import annotations

import os
from typing import ClassVar, Literal

from pydantic import Field, SecretStr

from services.sync.pool import Placement
from wedsync.runtime.settings import GRPC_PORTS, METRICS_PORTS, GrpcPort, MetricsPort, ServerSettings

# An actor's share of memory, with room for growth; and a few per core, because they mostly wait.
_ACTOR_BYTES, _ACTORS_PER_CORE = 256 * 1024 * 1024, 8
_FEWEST_ACTORS, _MOST_ACTORS = 4, 1000


def _default_max_actors() -> int:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    bound = min(memory // _ACTOR_BYTES, (os.cpu_count() or 1) * _ACTORS_PER_CORE, _MOST_ACTORS)
    return max(_FEWEST_ACTORS, int(bound))


class SyncSettings(ServerSettings):
    """The shared settings, and this service's own."""

    service: ClassVar[str] = "sync"

    grpc_port: GrpcPort = GRPC_PORTS["sync"]
    metrics_port: MetricsPort = METRICS_PORTS["sync"]
    worker_database_url: SecretStr = Field(
        description="The same database as the role wedsync_sync_worker, for the sweeps."
    )
    ray_address: str = Field(min_length=1, description="Address of the Ray cluster, host:port.")
    sync_placement: Literal["dedicated", "shared"] = Field(
        "dedicated",
        description="`dedicated`: an actor owns one wedding; `shared`: many. Default dedicated.",
    )
    sync_warm_actors: int = Field(
        2, ge=1, le=64, description="Actors kept ready for weddings not active yet. Default 2."
    )
    sync_max_actors: int = Field(
        default_factory=_default_max_actors,
        ge=1,
        le=1000,
        description="Actor processes at most. Default 8 per core, as far as memory goes, at least 4.",
    )
    sync_weddings_per_actor: int = Field(
        1000, ge=1, le=100_000, description="Weddings of one actor in `shared` placement. Default 1000."
    )
    sync_idle_seconds: float = Field(
        600.0, gt=0, description="Seconds without an edit after which a wedding is passivated. Default 600."
    )
    sync_call_seconds: float = Field(
        5.0, gt=0, le=60, description="Seconds an actor may take for one batch. Default 5."
    )
    sync_queue_changes: int = Field(
        2000, ge=1, description="Changes that may wait for one actor; more are refused. Default 2000."
    )
    sync_window_seconds: float = Field(
        0.005, ge=0, le=1, description="Extra seconds a busy actor's next batch may collect. Default 0.005."
    )
    max_streams: int = Field(
        2500,
        ge=1,
        le=100_000,
        description="Watches at once; more are refused with a retry time. Default 2500.",
    )
    sync_poll_seconds: float = Field(
        5.0,
        gt=0,
        le=300,
        description="Seconds after which watched weddings are looked at without a hint. Default 5.",
    )
    sync_slow_reader_seconds: float = Field(
        30.0, gt=0, le=600, description="Seconds a watcher may take for one message. Default 30."
    )

    def placement(self) -> Placement:
        """Return how weddings are spread over actors."""
        shared = self.sync_placement == "shared"
        return Placement(
            capacity=self.sync_weddings_per_actor if shared else 1,
            warm=min(self.sync_warm_actors, self.sync_max_actors),
            most=self.sync_max_actors,
            kept=1 if self.sync_max_actors >= _FEWEST_ACTORS and self.sync_warm_actors > 1 else 0,
            idle_seconds=self.sync_idle_seconds,
            call_seconds=self.sync_call_seconds,
            queue_limit=self.sync_queue_changes,
            window_seconds=self.sync_window_seconds,
        )
