"""The health service in this process, behind real gRPC and on a real database, with a clock to move."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from services.health.settings import HealthSettings
from services.health.wiring import build
from tests.support.database import MigratedDatabase
from wedsync.api.health.v1 import service_pb2
from wedsync.client import HealthClient, open_channel
from wedsync.clock import FakeClock
from wedsync.convert.changes import timestamp
from wedsync.model.ids import new_id
from wedsync.runtime.principal import Scope, mint_key, write_keys
from wedsync.runtime.telemetry import Telemetry

START = datetime(2027, 6, 1, 12, tzinfo=UTC)


@dataclass
class Running:
    """The service, a client for each key, and its clock."""

    client: Callable[[str], HealthClient]
    clock: FakeClock

    def observation(self, **but: Any) -> service_pb2.Observation:
        """Return one read that worked just now, of which only what is said differs."""
        fields: dict[str, Any] = {
            "observation_id": new_id(),
            "integration_id": new_id(),
            "organization_id": "studio",
            "vendor": "tave",
            "operation": service_pb2.OPERATION_READ,
            "successes": 1,
            "observe_time": timestamp(self.clock.now()),
        }
        return service_pb2.Observation(**{**fields, **but})


@pytest.fixture
async def running(migrated_database: MigratedDatabase, tmp_path: Path) -> AsyncIterator[Running]:
    """The service on a free port."""
    keys = {
        name: mint_key(organization_id=organization, role="planner", actor=name, scopes=[scope])
        for name, organization, scope in (
            ("gateway", "wedsync", Scope.INTERNAL),
            ("studio", "studio", Scope.READ),
            ("florist", "florist", Scope.READ),
            ("writer", "studio", Scope.WRITE),
        )
    }
    write_keys(tmp_path / "keys.json", [entry for _, entry in keys.values()])
    settings = HealthSettings.model_validate(
        {
            "database_url": migrated_database.app_url("health"),
            "api_keys_file": tmp_path / "keys.json",
            "grpc_port": 0,
            "drain_seconds": 2,
        }
    )
    clock = FakeClock(START)
    async with contextlib.AsyncExitStack() as stack:
        app = await stack.enter_async_context(build(settings, telemetry=Telemetry(), clock=clock))
        await app.server.start()
        stack.push_async_callback(app.server.stop)
        target = f"127.0.0.1:{app.server.port}"
        clients = {
            name: HealthClient(await stack.enter_async_context(open_channel(target, api_key=key)))
            for name, (key, _) in keys.items()
        }
        yield Running(clients.__getitem__, clock)
