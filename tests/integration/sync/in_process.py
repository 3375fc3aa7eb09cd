"""The whole sync service in the test's own process, Ray apart."""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from services.sync.actor_store import PostgresOwnerStore
from services.sync.settings import SyncSettings
from services.sync.wiring import App, build
from tests.integration.sync.conftest import Keys
from tests.support.database import MigratedDatabase
from tests.unit.sync.local_actors import LocalActors
from wedsync.client import SyncClient, open_channel
from wedsync.runtime.embedded.local import free_port
from wedsync.runtime.telemetry import Telemetry


@dataclass
class InProcess:
    """The running service and how to reach it."""

    target: str
    keys: Keys
    app: App

    @contextlib.asynccontextmanager
    async def client(self, key: str = "") -> AsyncIterator[SyncClient]:
        """Yield a client with one of the keys, the studio's unless told otherwise."""
        async with open_channel(self.target, api_key=key or self.keys.studio) as channel:
            yield SyncClient(channel)


@contextlib.asynccontextmanager
async def running_in_process(
    database: MigratedDatabase, keys: Keys, home: Path, **but: Any
) -> AsyncIterator[InProcess]:
    """Run the service; its owners are in this process too."""
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
    }
    settings = SyncSettings(**{**given, **but})
    actors = LocalActors(new_store, monotonic=time.monotonic, capacity=settings.placement().capacity)
    async with build(settings, telemetry=Telemetry(), actors=actors) as app:
        await app.server.start()
        yield InProcess(f"127.0.0.1:{app.server.port}", keys, app)
    for store in stores:
        store.close()
