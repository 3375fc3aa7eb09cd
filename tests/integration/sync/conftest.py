"""The sync service as a process of its own, with a gateway that can be away."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import psutil
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from pydantic import SecretStr

from services.launcher.programs import MARKER
from services.sync.actor_store import PostgresOwnerStore
from services.sync.settings import SyncSettings
from services.sync.wiring import App, build
from tests.support.database import MigratedDatabase
from tests.support.processes import eventually
from tests.unit.sync.local_actors import LocalActors
from wedsync.api.gateway.v1 import commit_pb2, commit_pb2_grpc
from wedsync.api.sync.v1 import wedding_pb2
from wedsync.client import SyncClient, open_channel, wedding_message
from wedsync.errors import InvalidRequest
from wedsync.runtime.embedded.local import free_port
from wedsync.runtime.embedded.process import Child, Launch, tail
from wedsync.runtime.principal import Scope, mint_key, write_keys
from wedsync.runtime.telemetry import Telemetry

_START_SECONDS = 45.0


@dataclass
class Keys:
    """An API key for each kind of caller."""

    file: Path
    studio: str
    florist: str
    reader: str
    alarm: str
    gateway: str


@dataclass
class FakeGateway:
    """Keeps what it is told; away until it is started."""

    target: str
    commits: list[commit_pb2.Commit] = field(default_factory=list)
    _server: grpc.aio.Server | None = None

    async def start(self) -> None:
        """Come up."""
        self._server = grpc.aio.server()
        commit_pb2_grpc.add_CommitServiceServicer_to_server(_Servicer(self), self._server)
        self._server.add_insecure_port(self.target)
        await self._server.start()

    async def stop(self) -> None:
        """Go away."""
        if self._server is not None:
            await self._server.stop(None)
            self._server = None

    def told(self, wedding_id: str) -> list[int]:
        """Return the sequences heard of one wedding, each once."""
        return sorted({c.sequence for c in self.commits if c.wedding_id == wedding_id})


class _Servicer(commit_pb2_grpc.CommitServiceServicer):
    def __init__(self, gateway: FakeGateway) -> None:
        self._gateway = gateway

    async def AcceptCommits(  # noqa: N802
        self, request: commit_pb2.AcceptCommitsRequest, context: Any
    ) -> commit_pb2.AcceptCommitsResponse:
        self._gateway.commits.extend(request.commits)
        return commit_pb2.AcceptCommitsResponse()


@dataclass
class Service:
    """The running service and how to reach it."""

    target: str
    keys: Keys
    database: MigratedDatabase
    child: Child
    gateway_target: str

    @contextlib.asynccontextmanager
    async def client(self, key: str = "") -> AsyncIterator[SyncClient]:
        """Yield a client with one of the keys, the studio's unless told otherwise."""
        async with open_channel(self.target, api_key=key or self.keys.studio) as channel:
            yield SyncClient(channel)


@dataclass
class InProcess:
    """The whole service in this process, Ray apart."""

    target: str
    keys: Keys
    app: App
    gateway_target: str

    @contextlib.asynccontextmanager
    async def client(self, key: str = "") -> AsyncIterator[SyncClient]:
        """Yield a client with one of the keys, the studio's unless told otherwise."""
        async with open_channel(self.target, api_key=key or self.keys.studio) as channel:
            yield SyncClient(channel)


def actor_processes() -> list[psutil.Process]:
    """Return every wedding actor's process that our Ray started; a whole system beside us has its own."""
    found = []
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            is_actor = "WeddingActor" in " ".join(process.cmdline())
            if is_actor and process.status() != psutil.STATUS_ZOMBIE and MARKER not in process.environ():
                found.append(process)
    return found


async def soon(condition: Any, seconds: float, what: str) -> None:
    """Return once the condition holds; fail, saying what was waited for, when it does not."""
    deadline = asyncio.get_running_loop().time() + seconds
    while not condition():
        assert asyncio.get_running_loop().time() < deadline, f"not within {seconds} s: {what}"
        await asyncio.sleep(0.02)


async def refused(call: Any) -> list[str]:
    """Return the fields a malformed request is refused for."""
    with pytest.raises(InvalidRequest) as error:
        await call
    return [violation.field for violation in error.value.violations]


async def new_wedding(sync: SyncClient, **but: Any) -> wedding_pb2.Wedding:
    """Create a wedding."""
    return await sync.create_wedding(wedding_message("Ada & Grace", "2027-06-12", "Europe/Paris", **but))


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    """A file of keys, and the keys."""
    directory = tmp_path_factory.mktemp("keys")
    minted = {
        name: mint_key(organization_id=organization, role="planner", actor=name, scopes=scopes)
        for name, organization, scopes in (
            ("studio", "studio", {Scope.READ, Scope.WRITE}),
            ("florist", "florist", {Scope.READ, Scope.WRITE}),
            ("reader", "studio", {Scope.READ}),
            ("alarm", "studio", {Scope.READ, Scope.WRITE, Scope.EMERGENCY}),
            ("gateway", "wedsync", {Scope.INTERNAL}),
        )
    }
    file = directory / "api_keys.json"
    write_keys(file, [entry for _, entry in minted.values()])
    (directory / "internal_key").write_text(minted["gateway"][0])
    return Keys(file, **{name: key for name, (key, _) in minted.items()})


@dataclass
class Site:
    """Everything a service needs; any number of them may run on it."""

    environment: dict[str, str]
    keys: Keys
    database: MigratedDatabase
    gateway_target: str
    home: Path

    @contextlib.contextmanager
    def running(self, name: str) -> Iterator[Service]:
        """Run a service of that name until the block ends."""
        port, log = free_port(), self.home / f"{name}.log"
        environment = {**self.environment, "WEDSYNC_GRPC_PORT": str(port)}
        argv = [sys.executable, "-m", "services.sync"]
        child = Child(Launch(name=name, argv=argv, log=log, env=environment))
        child.start()
        try:
            eventually(lambda: _serving(port) or child.exited(0), _START_SECONDS, f"serving: {tail(log)}")
            child.require_running()
            yield Service(f"127.0.0.1:{port}", self.keys, self.database, child, self.gateway_target)
        finally:
            child.stop()


@pytest.fixture(scope="module")
def site(
    migrated_database: MigratedDatabase,
    embedded_ray: tuple[str, dict[str, str]],
    valkey_url: str,
    keys: Keys,
    tmp_path_factory: pytest.TempPathFactory,
) -> Site:
    """Databases, Ray and keys of this module's services."""
    home = tmp_path_factory.mktemp("home")
    gateway = f"127.0.0.1:{free_port()}"
    address, ray_environment = embedded_ray
    environment = {
        **_inherited(),
        **ray_environment,
        "WEDSYNC_HOME": str(home),
        "WEDSYNC_DATABASE_URL": migrated_database.app_url("sync"),
        "WEDSYNC_WORKER_DATABASE_URL": migrated_database.worker_url("sync"),
        "WEDSYNC_REDIS_URL": valkey_url,
        "WEDSYNC_RAY_ADDRESS": address,
        "WEDSYNC_API_KEYS_FILE": str(keys.file),
        "WEDSYNC_INTERNAL_KEY_FILE": str(keys.file.parent / "internal_key"),
        "WEDSYNC_METRICS_PORT": "0",
        "WEDSYNC_GATEWAY_TARGET": gateway,
        "WEDSYNC_CONFLICTS_TARGET": f"127.0.0.1:{free_port()}",
        "WEDSYNC_SYNC_MAX_ACTORS": "3",
        "WEDSYNC_SYNC_CALL_SECONDS": "2",
        "WEDSYNC_DRAIN_SECONDS": "3",
    }
    return Site(environment, keys, migrated_database, gateway, home)


@pytest.fixture(scope="module")
def service(site: Site) -> Iterator[Service]:
    """One service for the module, ready."""
    with site.running("sync") as running:
        yield running


@contextlib.asynccontextmanager
async def running_in_process(
    database: MigratedDatabase, keys: Keys, home: Path, **but: Any
) -> AsyncIterator[InProcess]:
    """Run a service in this process, with settings of its own if some are given."""
    stores: list[PostgresOwnerStore] = []

    def new_store() -> PostgresOwnerStore:
        stores.append(PostgresOwnerStore(database.app_url("sync")))
        return stores[-1]

    given: dict[str, Any] = {
        "home": home,
        "database_url": SecretStr(database.app_url("sync")),
        "worker_database_url": SecretStr(database.worker_url("sync")),
        "ray_address": "nowhere:1",
        "api_keys_file": keys.file,
        "internal_key_file": keys.file.parent / "internal_key",
        "grpc_port": 0,
        "gateway_target": f"127.0.0.1:{free_port()}",
        "conflicts_target": f"127.0.0.1:{free_port()}",
        "sync_poll_seconds": 0.2,
        "sync_slow_reader_seconds": 0.2,
        "drain_seconds": 1,
        **but,
    }
    settings = SyncSettings(**given)
    actors = LocalActors(new_store, monotonic=time.monotonic)
    async with build(settings, telemetry=Telemetry(), actors=actors) as app:
        await app.server.start()
        yield InProcess(f"127.0.0.1:{app.server.port}", keys, app, settings.gateway_target)
    for store in stores:
        store.close()


@pytest.fixture
async def in_process(
    migrated_database: MigratedDatabase, keys: Keys, tmp_path: Path
) -> AsyncIterator[InProcess]:
    """A running service."""
    async with running_in_process(migrated_database, keys, tmp_path) as running:
        yield running


@pytest.fixture
async def gateway(service: Service) -> AsyncIterator[FakeGateway]:
    """The gateway the service knows, still away."""
    fake = FakeGateway(service.gateway_target)
    yield fake
    await fake.stop()


def _inherited() -> Mapping[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith(("WEDSYNC_", "RAY_"))}


def _serving(port: int) -> bool:
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        try:
            answer = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=1)
        except grpc.RpcError:
            return False
        return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)
