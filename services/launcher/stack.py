"""The life of the whole system: servers, credentials, programs, watching, and the end in reverse order."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from services.launcher.logs import bound_logs
from services.launcher.programs import MARKER, Credentials, Servers, base_environment
from services.launcher.progress import Progress
from services.launcher.settings import SERVICES, StackSettings
from services.launcher.supervisor import Supervisor
from services.launcher.units import Unit
from wedsync.runtime.embedded.local import write_private
from wedsync.runtime.embedded.postgres import EmbeddedPostgres, on_database
from wedsync.runtime.embedded.process import end_marked
from wedsync.runtime.embedded.ray import EmbeddedRay
from wedsync.runtime.embedded.valkey import EmbeddedValkey

_LOG_CHECK_SECONDS = 10.0
_DATABASE = "wedsync"


@dataclass(frozen=True)
class Parts:
    """What the system is made of; a test puts small programs in the services' place."""

    prepare: Callable[[StackSettings, Servers], Credentials]
    """Brings roles, schemas, keys into being; repeated at every start, so it must be idempotent."""
    sandbox: Callable[[StackSettings], Sequence[Unit]]
    services: Callable[[StackSettings, Servers, Credentials], Sequence[Unit]]


async def run_stack(settings: StackSettings, parts: Parts, progress: Progress) -> None:
    """Run the whole system until cancelled; the caller holds the lock of its home directory."""
    if ended := await asyncio.to_thread(end_marked, MARKER, str(settings.home)):
        progress.say(f"  an earlier run ended without cleaning up: {ended} of its processes were ended")
    supervisor = Supervisor(observer=progress)
    with _removed_at_the_end(settings.home / "run.json") as run_file:
        try:
            servers = await _start_servers(settings, supervisor)
            credentials = await _prepare(settings, servers, parts, progress)
            programs = parts.services(settings, servers, credentials)
            await supervisor.start(parts.sandbox(settings), programs)

            def publish() -> None:
                content = run_content(settings, credentials, supervisor.pids())
                write_private(run_file, json.dumps(content, indent=2))

            publish()
            progress.say(_welcome(settings, credentials))
            bounding = asyncio.create_task(_keep_logs_bounded(settings))
            try:
                await supervisor.watch(restarted=publish)
            finally:
                bounding.cancel()
        finally:
            progress.say("stopping")
            await supervisor.stop()


@contextlib.contextmanager
def _removed_at_the_end(path: Path) -> Iterator[Path]:
    path.unlink(missing_ok=True)
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)


async def _start_servers(settings: StackSettings, supervisor: Supervisor) -> Servers:
    """Start, in parallel, each server for which no address was given."""
    home, secrets, logs = settings.home, settings.home / "secrets", settings.home / "logs"
    base = base_environment(settings)
    ray = EmbeddedRay(home, secrets, logs / "ray.log", env=base)
    # In the order they end: the last is ended first.
    embedded: dict[str, Unit] = {}
    if settings.database_url is None:
        embedded["database"] = EmbeddedPostgres(home / "postgres", secrets, log=logs / "postgres.log")
    if settings.redis_url is None:
        embedded["redis"] = EmbeddedValkey(logs / "valkey.log", env=base)
    if settings.ray_address is None:
        embedded["ray"] = ray
    started = await supervisor.start(*([unit] for unit in embedded.values()))
    addresses = dict(zip(embedded, map(str, started), strict=True))
    return Servers(
        database_url=settings.database_url or on_database(addresses["database"], _DATABASE),
        redis_url=settings.redis_url or addresses["redis"],
        ray_address=settings.ray_address or addresses["ray"],
        ray_environment={} if settings.ray_address else ray.environment,
    )


async def _prepare(
    settings: StackSettings, servers: Servers, parts: Parts, progress: Progress
) -> Credentials:
    progress.starting("schemas, keys")
    begin = asyncio.get_running_loop().time()
    credentials = await asyncio.to_thread(parts.prepare, settings, servers)
    progress.ready("schemas, keys", asyncio.get_running_loop().time() - begin)
    return credentials


async def _keep_logs_bounded(settings: StackSettings) -> None:
    while True:
        await asyncio.to_thread(bound_logs, settings.home / "logs", settings.log_bytes)
        await asyncio.sleep(_LOG_CHECK_SECONDS)


def run_content(settings: StackSettings, credentials: Credentials, pids: dict[str, int]) -> dict[str, Any]:
    """Return what `run.json` says about the running system; secrets are named by file, never by value."""
    ports = settings.port_settings()
    return {
        "version": 1,
        "pid": os.getpid(),
        "home": str(settings.home),
        "http": f"http://127.0.0.1:{settings.http_port}",
        "grpc": {name: f"127.0.0.1:{ports[f'{name}_grpc_port']}" for name in SERVICES},
        "metrics": {name: f"http://127.0.0.1:{ports[f'{name}_metrics_port']}/metrics" for name in SERVICES},
        "organization_id": credentials.organization_id,
        "demo_key_file": str(credentials.demo_key_file),
        "sandbox": {
            "tave": f"http://127.0.0.1:{settings.sandbox_tave_port}",
            "radicale": f"http://127.0.0.1:{settings.sandbox_radicale_port}",
            "slack": f"http://127.0.0.1:{settings.sandbox_slack_port}",
            "stripe": f"http://127.0.0.1:{settings.sandbox_stripe_port}/v1",
            "google": f"http://127.0.0.1:{settings.sandbox_google_port}/calendar/v3",
            "outlook": f"http://127.0.0.1:{settings.sandbox_outlook_port}/v1.0",
        },
        "pids": pids,
    }


def _welcome(settings: StackSettings, credentials: Credentials) -> str:
    ports = settings.port_settings()
    http = f"http://127.0.0.1:{settings.http_port}"
    grpc = "  ".join(f"{name} 127.0.0.1:{ports[f'{name}_grpc_port']}" for name in SERVICES)
    key = credentials.demo_key_file.read_text().strip()
    return f"""
WedSync is running; Ctrl-C ends it.

  HTTP      {http}
  gRPC      {grpc}
  API key   {key}

Try next, in another terminal:
  .venv/bin/wedsync demo        one wedding, two vendors, edits arriving in milliseconds
  curl {http}/readyz
  .venv/bin/wedsync --help

  Logs are in {settings.home / "logs"}.
"""
