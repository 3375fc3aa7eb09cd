"""Settings every service shares: environment variables with the prefix `WEDSYNC_`, or files named after them.

A service subclasses `ServerSettings`, names itself in `service` and gives its ports:

    class SyncSettings(ServerSettings):
        service: ClassVar[str] = "sync"
        grpc_port: GrpcPort = GRPC_PORTS["sync"]
        metrics_port: MetricsPort = METRICS_PORTS["sync"]
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Self

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

PREFIX = "WEDSYNC_"
SECRETS_DIR = "WEDSYNC_SECRETS_DIR"
"""Where secrets lie as files, one per variable, named `wedsync_database_url` and so on. Unset: nowhere."""

HTTP_PORT = 8080
GRPC_PORTS: Mapping[str, int] = {"gateway": 50051, "sync": 50052, "conflicts": 50053, "health": 50054}
METRICS_PORTS: Mapping[str, int] = {"gateway": 9051, "sync": 9052, "conflicts": 9053, "health": 9054}

GrpcPort = Annotated[
    int, Field(ge=0, le=65535, description="TCP port of the gRPC server; 0 takes a free one.")
]
MetricsPort = Annotated[int, Field(ge=0, le=65535, description="TCP port of /metrics; 0 takes a free one.")]
Target = Annotated[str, Field(pattern=r"^\S+:\d{1,5}$")]


class SettingsError(Exception):
    """A setting, or a file a setting names, is missing or wrong; the message says how to mend it."""


class ServerSettings(BaseSettings):
    """What every server needs to know; read once, never changed."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="ignore")

    service: ClassVar[str] = "wedsync"

    home: Path = Field(
        Path(".wedsync"), description="Directory for everything the embedded mode writes. Default .wedsync."
    )
    database_url: SecretStr = Field(
        description="PostgreSQL 15+ as this service's app role, postgresql://role:password@host:port/database."
    )
    worker_database_url: SecretStr | None = Field(
        None, description="The same database as this service's worker role, for sweepers. Default: none."
    )
    redis_url: SecretStr | None = Field(
        None,
        description="Redis 7+ for hints, redis://host:port/0. Default: none; everything works, only later.",
    )
    database_pool_size: int = Field(
        8,
        ge=1,
        le=200,
        description="Connections to PostgreSQL at most: so many for transactions, and as many again for"
        " single exchanges; a call beyond them waits. Default 8.",
    )
    api_keys_file: Path = Field(
        default_factory=lambda values: _under_home(values, "api_keys.json"),
        description="JSON file of the API keys' digests. Default <home>/api_keys.json.",
    )
    internal_key_file: Path = Field(
        default_factory=lambda values: _under_home(values, "internal_key"),
        description="File of the API key this service calls its peers with. Default <home>/internal_key.",
    )
    bind_host: str = Field("127.0.0.1", min_length=1, description="Address the servers listen on.")
    grpc_port: GrpcPort = 0
    metrics_port: MetricsPort = 0
    gateway_target: Target = Field(
        f"127.0.0.1:{GRPC_PORTS['gateway']}", description="host:port of the gateway's gRPC server."
    )
    sync_target: Target = Field(
        f"127.0.0.1:{GRPC_PORTS['sync']}", description="host:port of the sync service's gRPC server."
    )
    conflicts_target: Target = Field(
        f"127.0.0.1:{GRPC_PORTS['conflicts']}",
        description="host:port of the conflicts service's gRPC server.",
    )
    health_target: Target = Field(
        f"127.0.0.1:{GRPC_PORTS['health']}", description="host:port of the health service's gRPC server."
    )
    otlp_endpoint: str | None = Field(
        None,
        pattern=r"^https?://\S+$",
        description="OTLP/gRPC collector, http://host:4317 or https://. Default: none, no spans leave.",
    )
    trace_ratio: float = Field(
        0.01, ge=0, le=1, description="Share of new traces that are sampled, 0 to 1. Default 0.01."
    )
    drain_seconds: float = Field(
        20.0,
        ge=0,
        le=600,
        description="Seconds running calls may take after SIGTERM, below the pod's grace period. Default 20.",
    )
    call_seconds: float = Field(
        30.0, gt=0, le=3600, description="Seconds for a call whose caller gave no deadline. Default 30."
    )
    max_calls: int = Field(
        500,
        ge=1,
        le=100_000,
        description="Unary calls at once; more are refused with a retry time. Default 500.",
    )
    max_streams: int = Field(
        500,
        ge=1,
        le=100_000,
        description="Open streams at once; more are refused with a retry time. Default 500.",
    )
    log_level: str = Field(
        "INFO", pattern="^(DEBUG|INFO|WARNING|ERROR)$", description="Least severity logged. Default INFO."
    )

    @field_validator("home", "api_keys_file", "internal_key_file", mode="after")
    @classmethod
    def _absolute(cls, path: Path) -> Path:
        return path.expanduser().absolute()

    @field_validator("redis_url", "otlp_endpoint", "worker_database_url", mode="before")
    @classmethod
    def _empty_is_unset(cls, value: object) -> object:
        return None if value == "" else value

    @classmethod
    def from_env(cls) -> Self:
        """Read the settings; raise `SettingsError` naming each bad variable and its mend."""
        secrets = os.environ.get(SECRETS_DIR)
        if secrets and not Path(secrets).is_dir():
            raise SettingsError(f"{SECRETS_DIR}={secrets} is no directory: create it or unset the variable")
        try:
            return cls(_secrets_dir=secrets)  # type: ignore[call-arg]  # BaseSettings takes it by keyword
        except ValidationError as error:
            raise SettingsError(_explain(cls, error)) from None

    def internal_key(self) -> str:
        """Return the API key this service calls its peers with."""
        return read_secret(self.internal_key_file)


def read_secret(path: Path) -> str:
    """Return a secret kept as a file; raise `SettingsError` if it is missing or empty."""
    try:
        secret = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"cannot read the secret in {path}: {type(error).__name__}") from error
    if not secret:
        raise SettingsError(f"the secret file {path} is empty: write the secret into it")
    return secret


def _under_home(values: dict[str, Any], name: str) -> Path:
    # `home` is missing when it was itself invalid; that error is the one reported then.
    return Path(values.get("home", ".")) / name


def _explain(settings: type[ServerSettings], error: ValidationError) -> str:
    lines = [
        _line(settings, str(e["loc"][0]), e["type"], e["msg"]) for e in error.errors(include_input=False)
    ]
    return "bad settings:\n" + "\n".join(lines)


def _line(settings: type[ServerSettings], name: str, kind: str, message: str) -> str:
    # The value itself stays out: it may be a secret.
    what = "is not set" if kind == "missing" else message
    return f"  {PREFIX}{name.upper()}: {what}. Set it to: {settings.model_fields[name].description}"
