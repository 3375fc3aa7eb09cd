"""Every knob of `python -m services`, read from the environment with the prefix WEDSYNC_."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from wedsync.errors import FailedPrecondition
from wedsync.runtime.embedded.local import free_port, port_is_free
from wedsync.runtime.settings import GRPC_PORTS, HTTP_PORT, METRICS_PORTS, PREFIX

SERVICES = ("gateway", "sync", "conflicts", "health")

Port = Annotated[int, Field(ge=1, le=65535)]

_CHECKOUT = Path(__file__).resolve().parents[2]
_PORT_SUFFIX = "_port"


class StackSettings(BaseSettings):
    """How the whole system runs on one machine."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="ignore", env_ignore_empty=True)

    home: Path = _CHECKOUT / ".wedsync"
    """Everything the embedded mode writes."""
    database_url: str | None = None
    """Superuser's URL of a PostgreSQL 15+ of yours; unset: one is started."""
    redis_url: str | None = None
    """Redis 7+ of yours; unset: Valkey is started."""
    ray_address: str | None = None
    """Ray of yours; unset: a local one is started."""
    ports: Literal["fixed", "auto"] = "fixed"
    """`auto` takes a free port wherever none is set, so that several systems can run at once."""

    http_port: Port = HTTP_PORT
    gateway_grpc_port: Port = GRPC_PORTS["gateway"]
    sync_grpc_port: Port = GRPC_PORTS["sync"]
    conflicts_grpc_port: Port = GRPC_PORTS["conflicts"]
    health_grpc_port: Port = GRPC_PORTS["health"]
    gateway_metrics_port: Port = METRICS_PORTS["gateway"]
    sync_metrics_port: Port = METRICS_PORTS["sync"]
    conflicts_metrics_port: Port = METRICS_PORTS["conflicts"]
    health_metrics_port: Port = METRICS_PORTS["health"]
    sandbox_tave_port: Port = 8091
    sandbox_radicale_port: Port = 8092
    sandbox_slack_port: Port = 8093
    sandbox_stripe_port: Port = 8094
    sandbox_google_port: Port = 8095
    sandbox_outlook_port: Port = 8096

    vendor_poll_seconds: float = Field(default=1.0, gt=0)
    """How often the sandbox's vendors are polled; real ones say in their manifest what they bear."""
    start_seconds: float = Field(default=60.0, gt=0)
    """How long each program may take until it is ready."""
    drain_seconds: float = Field(default=20.0, gt=0)
    """How long a service may finish running calls after SIGTERM; it is killed five seconds later."""
    log_bytes: int = Field(default=20_000_000, gt=0)
    """A log that grows beyond this is moved aside to `<name>.log.1`."""

    def port_settings(self) -> dict[str, int]:
        """Return every port by the name of its setting."""
        return {name: getattr(self, name) for name in type(self).model_fields if name.endswith(_PORT_SUFFIX)}


def with_usable_ports(settings: StackSettings) -> StackSettings:
    """Choose free ports where asked to; raise `FailedPrecondition` naming every port that is taken."""
    if settings.ports == "auto":
        chosen = {n: free_port() for n in settings.port_settings() if n not in settings.model_fields_set}
        settings = settings.model_copy(update=chosen)
    taken = [(name, port) for name, port in settings.port_settings().items() if not port_is_free(port)]
    if taken:
        lines = [
            f"  port {port} is in use; choose another with {PREFIX}{name.upper()}" for name, port in taken
        ]
        raise FailedPrecondition("\n".join([*lines, "  or let free ones be chosen with WEDSYNC_PORTS=auto"]))
    return settings
