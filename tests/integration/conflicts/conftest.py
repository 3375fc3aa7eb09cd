"""The conflicts service in this process, behind real gRPC and on a real database."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from services.conflicts.settings import ConflictsSettings
from services.conflicts.wiring import build
from tests.support.database import MigratedDatabase
from tests.support.fake_sync import FakeSync, running_sync
from wedsync.api.common.v1 import item_pb2, source_pb2, value_pb2
from wedsync.api.conflicts.v1 import service_pb2
from wedsync.client import ConflictsClient, open_channel
from wedsync.convert.changes import timestamp
from wedsync.model.ids import new_id
from wedsync.runtime.principal import Scope, mint_key, write_keys
from wedsync.runtime.telemetry import Telemetry

Client = Callable[[str], ConflictsClient]
"""A client with the key of that name."""


@dataclass
class Running:
    """The service, a client for each key, and the spans it recorded."""

    target: str
    client: Client
    spans: InMemorySpanExporter
    sync: FakeSync


@pytest.fixture
async def running(migrated_database: MigratedDatabase, tmp_path: Path) -> AsyncIterator[Running]:
    """The service on a free port."""
    keys = {
        name: mint_key(organization_id=organization, role="planner", actor=name, scopes=[scope])
        for name, organization, scope in (
            ("sync", "wedsync", Scope.INTERNAL),
            ("studio", "studio", Scope.READ),
            ("florist", "florist", Scope.READ),
            ("writer", "studio", Scope.WRITE),
        )
    }
    (tmp_path / "internal_key").write_text(keys["sync"][0])
    write_keys(tmp_path / "keys.json", [entry for _, entry in keys.values()])
    spans = InMemorySpanExporter()
    telemetry = Telemetry(processor=SimpleSpanProcessor(spans))
    async with contextlib.AsyncExitStack() as stack:
        sync = await stack.enter_async_context(running_sync(tmp_path / "keys.json"))
        settings = ConflictsSettings.model_validate(
            {
                "database_url": migrated_database.app_url("conflicts"),
                "worker_database_url": migrated_database.worker_url("conflicts"),
                "api_keys_file": tmp_path / "keys.json",
                "internal_key_file": tmp_path / "internal_key",
                "sync_target": sync.target,
                "grpc_port": 0,
                "drain_seconds": 2,
            }
        )
        app = await stack.enter_async_context(build(settings, telemetry=telemetry))
        await app.server.start()
        stack.push_async_callback(app.server.stop)
        target = f"127.0.0.1:{app.server.port}"
        clients = {
            name: ConflictsClient(await stack.enter_async_context(open_channel(target, api_key=key)))
            for name, (key, _) in keys.items()
        }
        yield Running(target, clients.__getitem__, spans, sync)


def a_claim(title: str, actor: str) -> service_pb2.Claim:
    """Return a wish for a title."""
    return service_pb2.Claim(
        value=value_pb2.FieldValue(text=title),
        source=source_pb2.Source(organization_id="studio", actor=actor),
    )


def a_collision(**but: Any) -> service_pb2.Collision:
    """Return two wishes for one title, of which only what is said differs."""
    fields: dict[str, Any] = {
        "wedding_id": new_id(),
        "sequence": 7,
        "item_id": new_id(),
        "item_kind": item_pb2.ITEM_KIND_TIMELINE_EVENT,
        "path": "title",
        "current": a_claim("First dance", "ada"),
        "proposed": a_claim("Opening dance", "grace"),
        "commit_time": timestamp(datetime(2027, 6, 1, 12, 0, 0, 123456, tzinfo=UTC)),
        "organization_ids": ["studio"],
    }
    return service_pb2.Collision(**{**fields, **but})
