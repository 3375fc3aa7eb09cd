"""Where a benchmark runs: embedded servers, and the sync service as the scenario wants it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from signal import SIGTERM
from typing import Any

import aiohttp
import grpc
import psycopg

from services.launcher.units import Program, grpc_serving
from tests.bench import processes
from tests.support.database import MigratedDatabase, copy_of_template, migrated_template
from wedsync.api.gateway.v1 import commit_pb2, commit_pb2_grpc
from wedsync.client import SyncClient, open_channel
from wedsync.runtime.embedded.local import free_port
from wedsync.runtime.embedded.postgres import EmbeddedPostgres
from wedsync.runtime.embedded.process import Launch
from wedsync.runtime.embedded.ray import EmbeddedRay
from wedsync.runtime.embedded.valkey import EmbeddedValkey
from wedsync.runtime.principal import Scope, mint_key, write_keys

ORGANIZATION = "studio"
SIXTY_FOUR = 65
"""Actors for 64 weddings at once in `dedicated`: one more place is kept for an emergency."""
_MOST_WARM = 64
_START_SECONDS, _STOP_SECONDS = 60.0, 20.0
_FILL_SECONDS, _DRAIN_SECONDS = 180.0, 60.0


@dataclass(frozen=True)
class Service:
    """A running sync service."""

    target: str
    api_key: str
    metrics_url: str

    @contextlib.asynccontextmanager
    async def client(self) -> AsyncIterator[SyncClient]:
        """Yield a client on a connection of its own."""
        async with open_channel(self.target, api_key=self.api_key) as channel:
            yield SyncClient(channel)

    async def counted(self, name: str) -> float:
        """Return the sum of one of its metrics, such as `wedsync_sync_activations_total`."""
        async with aiohttp.request("GET", self.metrics_url) as answer:
            lines = (await answer.text()).splitlines()
        return sum(float(line.split()[1]) for line in lines if line.startswith((f"{name} ", f"{name}{{")))


@dataclass
class Site:
    """The servers, and at most one service at a time: the next scenario may take it over as it is."""

    home: Path
    database: MigratedDatabase
    environment: dict[str, str]
    api_key: str
    shared: dict[str, Any] = field(default_factory=dict)
    """What one scenario prepared and another may use, such as weddings."""
    _running: Program | None = None
    _settings: dict[str, str] = field(default_factory=dict)
    _service: Service | None = None

    async def sync(self, placement: str, *, actors: int, **settings: object) -> Service:
        """Return the service in this placement, once all its actors are up."""
        wanted = {
            "WEDSYNC_SYNC_PLACEMENT": placement,
            "WEDSYNC_SYNC_MAX_ACTORS": str(actors),
            "WEDSYNC_SYNC_WARM_ACTORS": str(min(actors, _MOST_WARM)),
            **{f"WEDSYNC_SYNC_{name.upper()}": str(value) for name, value in settings.items()},
        }
        if self._service is None or wanted != self._settings:
            self.stop()
            self._settings, self._service = wanted, await asyncio.to_thread(self._start, wanted)
            await _until_up(min(actors, _MOST_WARM))
        return self._service

    async def quiet(self) -> None:
        """Return once the service has nothing left to hand over: what was prepared costs nothing any more."""
        async with asyncio.timeout(_DRAIN_SECONDS):
            while self.ask("SELECT EXISTS (SELECT FROM sync.outbox)"):  # noqa: ASYNC110  # nor do tables
                await asyncio.sleep(0.5)

    def ask(self, query: str, *values: object) -> Any:
        """Return the one value a query asks the database for, as its superuser."""
        with psycopg.connect(self.database.admin_url) as admin:
            return (admin.execute(query, values).fetchone() or (None,))[0]

    def stop(self) -> None:
        """End the service."""
        if self._running is not None:
            self._running.stop()
            self._running = self._service = None

    def _start(self, settings: dict[str, str]) -> Service:
        port, metrics = free_port(), free_port()
        ports = {"WEDSYNC_GRPC_PORT": str(port), "WEDSYNC_METRICS_PORT": str(metrics)}
        launch = Launch(
            name="sync",
            argv=[sys.executable, "-m", "services.sync"],
            log=self.home / "sync.log",
            env={**self.environment, **ports, **settings},
            stops=((SIGTERM, _STOP_SECONDS),),
        )
        self._running = Program(launch, grpc_serving(port), _START_SECONDS)
        self._running.start()
        return Service(f"127.0.0.1:{port}", self.api_key, f"http://127.0.0.1:{metrics}/metrics")


@contextlib.asynccontextmanager
async def a_site(home: Path) -> AsyncIterator[Site]:
    """Start the servers; end them, and the service, whatever happens."""
    secrets = home / "secrets"
    gateway = f"127.0.0.1:{free_port()}"
    with contextlib.ExitStack() as stack:
        postgres = EmbeddedPostgres(home / "postgres", secrets)
        valkey, ray = (
            EmbeddedValkey(home / "valkey.log"),
            EmbeddedRay(home / "ray", secrets, home / "ray.log"),
        )
        addresses = []
        for server in (postgres, valkey, ray):
            stack.callback(server.stop)
            addresses.append(server.start())
        database = stack.enter_context(copy_of_template(migrated_template(addresses[0]), addresses[0]))
        api_key = _write_keys(home)
        environment = {
            **{n: v for n, v in os.environ.items() if not n.startswith(("WEDSYNC_", "RAY_"))},
            **ray.environment,
            "WEDSYNC_HOME": str(home),
            "WEDSYNC_DATABASE_URL": database.app_url("sync"),
            "WEDSYNC_WORKER_DATABASE_URL": database.worker_url("sync"),
            "WEDSYNC_REDIS_URL": addresses[1],
            "WEDSYNC_RAY_ADDRESS": addresses[2],
            "WEDSYNC_GATEWAY_TARGET": gateway,
            "WEDSYNC_CONFLICTS_TARGET": f"127.0.0.1:{free_port()}",
        }
        site = Site(home, database, environment, api_key)
        stack.callback(site.stop)
        async with _a_gateway(gateway):
            yield site


class _TakesEverything(commit_pb2_grpc.CommitServiceServicer):
    async def AcceptCommits(  # noqa: N802  # gRPC's name
        self, request: commit_pb2.AcceptCommitsRequest, context: Any
    ) -> commit_pb2.AcceptCommitsResponse:
        return commit_pb2.AcceptCommitsResponse()


@contextlib.asynccontextmanager
async def _a_gateway(target: str) -> AsyncIterator[None]:
    server = grpc.aio.server()
    commit_pb2_grpc.add_CommitServiceServicer_to_server(_TakesEverything(), server)
    server.add_insecure_port(target)
    await server.start()
    try:
        yield
    finally:
        await server.stop(None)


def _write_keys(home: Path) -> str:
    keys = {
        "studio": mint_key(
            organization_id=ORGANIZATION, role="planner", actor="bench", scopes={Scope.READ, Scope.WRITE}
        ),
        "internal": mint_key(organization_id="wedsync", role="sync", actor="sync", scopes={Scope.INTERNAL}),
    }
    write_keys(home / "api_keys.json", [entry for _, entry in keys.values()])
    (home / "internal_key").write_text(keys["internal"][0])
    return keys["studio"][0]


async def _until_up(actors: int) -> None:
    """Wait until every actor's process is there."""
    async with asyncio.timeout(_FILL_SECONDS):
        while len(processes.of(processes.ACTORS)) < actors:  # noqa: ASYNC110  # processes set no event
            await asyncio.sleep(0.5)
