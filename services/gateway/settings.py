"""Every knob of the gateway."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from pydantic import Field, SecretStr

from wedsync.runtime.settings import (
    GRPC_PORTS,
    HTTP_PORT,
    METRICS_PORTS,
    GrpcPort,
    MetricsPort,
    ServerSettings,
)


class GatewaySettings(ServerSettings):
    """The shared settings, and this service's own."""

    service: ClassVar[str] = "gateway"

    grpc_port: GrpcPort = GRPC_PORTS["gateway"]
    metrics_port: MetricsPort = METRICS_PORTS["gateway"]
    worker_database_url: SecretStr = Field(
        description="The same database as the role wedsync_gateway_worker, for the sweeps."
    )
    database_pool_size: int = Field(
        16,
        ge=1,
        le=200,
        description="Database connections of the application's role: so many for transactions, and as many"
        " again for single exchanges. Default 16.",
    )
    http_port: int = Field(
        HTTP_PORT, ge=0, le=65535, description="TCP port of webhooks, REST and SSE. Default 8080."
    )
    public_url: str | None = Field(
        None,
        pattern=r"^https?://[^/\s?#]+(/[^\s?#]*)?$",
        description="Where vendors reach this gateway over HTTPS. Default: none, so no vendor is asked to "
        "open a push channel, and no webhook is believed whose vendor signs the address.",
    )
    vault_keys_file: Path = Field(description="JSON file of the master keys that seal vendors' credentials.")
    vendor_private_addresses: bool = Field(
        default=False,
        description="Allow vendors at loopback and private addresses and over plain http: sandbox only.",
    )
    vendor_poll_seconds: float | None = Field(
        None, gt=0, description="Poll interval for every vendor instead of its manifest's. Default: none."
    )
    vendor_requests_per_second: float | None = Field(
        None,
        gt=0,
        description="Rate limit of every vendor instead of its manifest's: sandbox only. Default: none.",
    )
    vendor_timeout_seconds: float | None = Field(
        None, gt=0, description="Time-out of every vendor's calls instead of its manifest's. Default: none."
    )
    translate_slots: int = Field(256, ge=1, le=1000, description="Webhooks read at once. Default 256.")
    deliver_slots: int = Field(512, ge=1, le=1000, description="Vendor records written at once. Default 512.")
    poll_slots: int = Field(16, ge=1, le=1000, description="Links scanned at once. Default 16.")
    push_slots: int = Field(
        4, ge=1, le=1000, description="Links whose push channels are tended at once. Default 4."
    )
    send_slots: int = Field(64, ge=1, le=1000, description="Weddings sent changes at once. Default 64.")
    max_webhooks: int = Field(
        2000, ge=1, description="Webhook requests at once; more are refused with a retry time. Default 2000."
    )
    max_event_streams: int = Field(
        500, ge=1, description="SSE readers at once; more are refused with a retry time. Default 500."
    )
    slow_reader_seconds: float = Field(
        30.0,
        gt=0,
        le=600,
        description="Seconds an HTTP client may take nothing before it is let go. Default 30.",
    )
