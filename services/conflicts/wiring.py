"""Builds the service's objects."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import yaml
from jsonschema import Draft202012Validator

from services.conflicts.acts import Due
from services.conflicts.courier import Courier
from services.conflicts.policies import Policy, read_policies
from services.conflicts.rpc import ConflictsRpc
from services.conflicts.set_times import SetTimes
from services.conflicts.settings import ConflictsSettings
from services.conflicts.store.acts import ActStore
from services.conflicts.store.conflicts import ConflictsStore
from wedsync.api.conflicts.v1 import service_pb2_grpc
from wedsync.client import SyncClient, open_channel
from wedsync.clock import Clock, SystemClock
from wedsync.runtime.background import Background
from wedsync.runtime.database import Database
from wedsync.runtime.principal import KeyRing
from wedsync.runtime.pump import Pump
from wedsync.runtime.server import GrpcServer
from wedsync.runtime.telemetry import Telemetry

_WORKER_CONNECTIONS = 2
_DRAIN_SECONDS = 5.0
_HERE = Path(__file__).parent


@dataclass(frozen=True, kw_only=True)
class App:
    """The service, as far as somebody outside needs it."""

    server: GrpcServer


@contextlib.asynccontextmanager
async def build(
    settings: ConflictsSettings, *, telemetry: Telemetry, clock: Clock | None = None
) -> AsyncIterator[App]:
    """Build the service, with what is due being done; take it down again at the end."""
    async with contextlib.AsyncExitStack() as stack:
        database, worker = _databases(settings, stack)
        channel = await stack.enter_async_context(
            open_channel(settings.sync_target, api_key=settings.internal_key())
        )
        sync, clock = SyncClient(channel), clock or SystemClock()
        store, acts = ConflictsStore(database, load_policies()), ActStore(database, worker)
        courier = Courier(acts=acts, conflicts=store, sync=sync, telemetry=telemetry)
        pump: Pump[Due] = Pump(
            "acts", claim=acts.claim, handle=courier.carry, slots=settings.act_slots, clock=clock
        )
        rpc = ConflictsRpc(
            store=store, telemetry=telemetry, clock=clock, set_times=SetTimes(sync), on_act=pump.wake
        )
        server = GrpcServer(
            settings=settings,
            keys=KeyRing.from_file(settings.api_keys_file),
            telemetry=telemetry,
            servicers=[(service_pb2_grpc.add_ConflictServiceServicer_to_server, rpc)],
            checks=[database.check],
        )
        background = Background(stack, on_failure=server.ask_to_stop)
        background.at_the_end(pump.drain, _DRAIN_SECONDS)
        background.start(pump.run(), pump.name)
        yield App(server=server)


def load_policies(path: Path = _HERE / "default_policies.yaml") -> tuple[Policy, ...]:
    """Load and check the policies. Raises `PolicyError` or what the schema finds wrong."""
    data = yaml.safe_load(path.read_text("utf-8"))
    schema = json.loads((_HERE / "policies.schema.json").read_text("utf-8"))
    Draft202012Validator(schema).validate(data)
    return read_policies(data)


def _databases(settings: ConflictsSettings, stack: contextlib.AsyncExitStack) -> tuple[Database, Database]:
    database = Database(
        settings.database_url, settings.database_pool_size, application_name="wedsync-conflicts"
    )
    stack.push_async_callback(database.dispose)
    worker = Database(
        settings.worker_database_url, _WORKER_CONNECTIONS, application_name="wedsync-conflicts-acts"
    )
    stack.push_async_callback(worker.dispose)
    return database, worker
