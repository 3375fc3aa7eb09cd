"""Which programs make up the system, and what each is told: pure, so that a test reads the environment."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from signal import SIGTERM

from services.launcher.settings import SERVICES, StackSettings
from services.launcher.units import Program, Unit, grpc_serving, listening
from wedsync.runtime.embedded.process import Launch

MARKER = "WEDSYNC_STACK"
"""Environment variable of every process we start; its value is the home directory it belongs to."""

_AFTER_DRAIN_SECONDS = 5.0
_SANDBOX_STOP_SECONDS = 5.0
_NOT_PASSED_ON = frozenset({"PYTHONDONTWRITEBYTECODE", "WEDSYNC_PORTS"})


@dataclass(frozen=True)
class Servers:
    """Where the shared servers are, embedded or given."""

    database_url: str
    """The superuser's."""
    redis_url: str
    ray_address: str
    ray_environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Credentials:
    """What the services need to be let in by each other and by the database."""

    database_urls: Mapping[str, str]
    """By service: the app role's URL."""
    worker_urls: Mapping[str, str]
    """By service, where it has one: the worker role's URL."""
    api_keys_file: Path
    internal_key_files: Mapping[str, Path]
    demo_key_file: Path
    vault_keys_file: Path
    organization_id: str


def base_environment(settings: StackSettings, inherited: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return what every child of ours has in its environment."""
    given = os.environ if inherited is None else inherited
    kept = {name: value for name, value in given.items() if name not in _NOT_PASSED_ON}
    return {**kept, MARKER: str(settings.home), "WEDSYNC_HOME": str(settings.home), "PYTHONUNBUFFERED": "1"}


def service_environment(
    name: str, settings: StackSettings, servers: Servers, credentials: Credentials
) -> dict[str, str]:
    """Return the settings of one service that differ from its defaults."""
    ports = settings.port_settings()
    environment = {
        "WEDSYNC_DATABASE_URL": credentials.database_urls[name],
        "WEDSYNC_REDIS_URL": servers.redis_url,
        "WEDSYNC_API_KEYS_FILE": str(credentials.api_keys_file),
        "WEDSYNC_INTERNAL_KEY_FILE": str(credentials.internal_key_files[name]),
        "WEDSYNC_GRPC_PORT": str(ports[f"{name}_grpc_port"]),
        "WEDSYNC_METRICS_PORT": str(ports[f"{name}_metrics_port"]),
        "WEDSYNC_DRAIN_SECONDS": str(settings.drain_seconds),
    }
    for peer in SERVICES:
        environment[f"WEDSYNC_{peer.upper()}_TARGET"] = f"127.0.0.1:{ports[f'{peer}_grpc_port']}"
    if name in credentials.worker_urls:
        environment["WEDSYNC_WORKER_DATABASE_URL"] = credentials.worker_urls[name]
    if name == "gateway":
        environment["WEDSYNC_HTTP_PORT"] = str(settings.http_port)
        environment["WEDSYNC_PUBLIC_URL"] = f"http://127.0.0.1:{settings.http_port}"
        environment["WEDSYNC_VAULT_KEYS_FILE"] = str(credentials.vault_keys_file)
        environment["WEDSYNC_VENDOR_PRIVATE_ADDRESSES"] = "true"  # the sandbox is on this machine
        environment["WEDSYNC_VENDOR_POLL_SECONDS"] = str(settings.vendor_poll_seconds)
        environment["WEDSYNC_VENDOR_REQUESTS_PER_SECOND"] = "1000"
    if name == "sync":
        environment |= {"WEDSYNC_RAY_ADDRESS": servers.ray_address, **servers.ray_environment}
    return environment


def service_programs(settings: StackSettings, servers: Servers, credentials: Credentials) -> list[Unit]:
    """Return the four services."""
    base = base_environment(settings)
    return [
        Program(
            Launch(
                name=name,
                argv=[sys.executable, "-m", f"services.{name}"],
                log=settings.home / "logs" / f"{name}.log",
                env={**base, **service_environment(name, settings, servers, credentials)},
                stops=((SIGTERM, settings.drain_seconds + _AFTER_DRAIN_SECONDS),),
            ),
            grpc_serving(settings.port_settings()[f"{name}_grpc_port"]),
            settings.start_seconds,
        )
        for name in SERVICES
    ]


def sandbox_programs(settings: StackSettings) -> list[Unit]:
    """Return the vendors' systems that stand in for the real ones."""
    data = settings.home / "sandbox"
    radicale = ["wedsync.testing.radicale", "--data", str(data / "radicale")]
    tave = ["wedsync.testing.tave", "--data", str(data / "tave.json")]
    slack = ["wedsync.testing.slack", "--data", str(data / "slack.json")]
    stripe = ["wedsync.testing.localstripe", "--data", str(data / "stripe.pickle")]
    google = ["wedsync.testing.google_calendar", "--data", str(data / "google.json")]
    outlook = ["wedsync.testing.outlook", "--data", str(data / "outlook.json")]
    return [
        _sandbox_program("tave", tave, settings.sandbox_tave_port, settings),
        _sandbox_program("radicale", radicale, settings.sandbox_radicale_port, settings),
        _sandbox_program("slack", slack, settings.sandbox_slack_port, settings),
        _sandbox_program("stripe", stripe, settings.sandbox_stripe_port, settings),
        _sandbox_program("google", google, settings.sandbox_google_port, settings),
        _sandbox_program("outlook", outlook, settings.sandbox_outlook_port, settings),
    ]


def _sandbox_program(name: str, module: Sequence[str], port: int, settings: StackSettings) -> Unit:
    launch = Launch(
        name=name,
        argv=[sys.executable, "-m", *module, "--port", str(port)],
        log=settings.home / "logs" / f"{name}.log",
        env=base_environment(settings),
        stops=((SIGTERM, _SANDBOX_STOP_SECONDS),),
    )
    return Program(launch, listening(port), settings.start_seconds)
