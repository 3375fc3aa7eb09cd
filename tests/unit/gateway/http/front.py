"""The HTTP front with everything behind it in memory."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from typing import Any

import orjson

from services.gateway.accounts import Accounts
from services.gateway.arrivals import Arrivals
from services.gateway.http.app import build_app
from services.gateway.http.events import EventStream
from services.gateway.http.rest import Rest
from services.gateway.http.webhooks import Webhooks
from services.gateway.inspect_record import Inspector
from services.gateway.journey import Steps
from services.gateway.link_plan import LinkPlanner
from services.gateway.push import ChannelKeeper
from services.gateway.replay import Replays
from services.gateway.rush import Rush
from services.gateway.signatures.checks import SignatureChecks
from services.gateway.signatures.documents import KeyDocuments
from services.gateway.store.inbound import Endpoint
from services.gateway.store.integration_rows import Integration
from services.gateway.store.journeys import JourneyStore, Wanted
from services.gateway.store.latency import LatencyStore, StageLatency
from services.gateway.store.links import endpoint_hash
from services.gateway.upkeep import Upkeep
from services.gateway.vendors.port import Account
from tests.support.asgi import Answer, call
from tests.support.gateway_channels import MemoryChannels
from tests.support.gateway_fakes import (
    MemoryActivities,
    MemoryInbound,
    MemoryLeases,
    MemorySecrets,
    by_table,
)
from tests.support.gateway_links import MemoryLinks
from tests.support.gateway_memory import Memory
from tests.support.gateway_stuck import MemoryEndings, MemoryProjection, MemoryStuck
from tests.support.gateway_vendor import FakePorts, FakeVendor, a_link
from tests.support.signed import Published
from wedsync.api.sync.v1 import service_pb2, wedding_pb2
from wedsync.client import SyncClient
from wedsync.clock import FakeClock
from wedsync.errors import UnknownWedding, WedSyncError
from wedsync.runtime.principal import KeyRing, Scope, mint_key
from wedsync.runtime.telemetry import Telemetry

KEY = "the-endpoint-key"
HOOK = f"/api/integrations/webhooks/desk/{KEY}"
JSON = {"content-type": "application/json; charset=utf-8"}


class FakeSync(SyncClient):
    """One wedding and its log."""

    def __init__(self) -> None:
        self.error: WedSyncError | None = None
        self.keys: list[str] = []
        self.after: list[int | None] = []
        self.messages: list[service_pb2.WatchWeddingResponse] = []
        self.ending: WedSyncError | None = None
        self.members = ["studio"]
        self.gate = asyncio.Event()
        self.gate.set()

    async def get_wedding(self, wedding_id: str, **options: Any) -> wedding_pb2.Wedding:
        """Return the wedding."""
        self.keys.append(options.get("api_key", ""))
        if self.error is not None:
            raise self.error
        if wedding_id != a_link().wedding_id:
            raise UnknownWedding
        members = [wedding_pb2.Member(organization_id=member) for member in self.members]
        return wedding_pb2.Wedding(wedding_id=wedding_id, time_zone="Europe/Paris", members=members)

    async def watch_wedding(  # type: ignore[override]
        self, wedding_id: str, after: int | None = None, **options: Any
    ) -> AsyncIterator[service_pb2.WatchWeddingResponse]:
        """Yield the log."""
        self.after.append(after)
        for message in self.messages:
            yield message
        await self.gate.wait()
        if self.ending is not None:
            raise self.ending


class FakeJourneys(JourneyStore):
    """What is due."""

    def __init__(self) -> None:
        self.waiting: dict[str, int] = {}
        self.rows: list[dict[str, Any]] = []
        self.asked: dict[str, Any] = {}
        self.found = Steps(webhook=None, changes=[], deliveries=[])

    async def due(self, organization_id: str, wedding_id: str) -> Mapping[str, int]:
        """Return how many deliveries are due."""
        return self.waiting

    async def webhooks(self, organization_id: str, wanted: Wanted, **cut: Any) -> Any:
        """Return a page."""
        self.asked = {"wanted": wanted, **cut}
        return self.rows[: cut["limit"]]

    async def deliveries(self, organization_id: str, **wanted: Any) -> Any:
        """Return a page."""
        self.asked = wanted
        return self.rows[: wanted["limit"]]

    async def steps(self, organization_id: str, journey_id: str) -> Steps:
        """Return what was recorded."""
        return self.found


class FakeLatency(LatencyStore):
    """One stage."""

    def __init__(self) -> None:
        self.asked: dict[str, Any] = {}

    async def stages(self, organization_id: str, **wanted: Any) -> list[StageLatency]:
        """Return it."""
        self.asked = wanted
        return [StageLatency(vendor="desk", stage="call", count=4, p50=1.0, p95=2.0, p99=3.0)]


class Front:
    """The application, and what is behind it."""

    def __init__(
        self, *, max_webhooks: int = 10, max_streams: int = 1, public_url: str | None = None
    ) -> None:
        self.memory, self.desk, self.clock, telemetry = Memory(), FakeVendor(), FakeClock(), Telemetry()
        self.inbound, self.links = MemoryInbound(self.memory), MemoryLinks(self.memory)
        self.ports = FakePorts(self.memory, {"desk": self.desk})
        self.link = a_link()
        self.memory.links[self.link.link_id] = self.link
        self.memory.integrations[self.link.integration_id] = self._integration()
        self.memory.endpoints[endpoint_hash(KEY.encode().decode())] = Endpoint(
            organization_id="studio", integration_id=self.link.integration_id, vendor="desk"
        )
        self.arrivals = Arrivals(store=self.inbound, onward=by_table(self.inbound.claim))
        self.latency = FakeLatency()
        self.sync, self.journeys, self.seen, self.ready = FakeSync(), FakeJourneys(), list[Endpoint](), True
        self.rush = Rush(on_over=lambda: None)
        minted = {
            scope: mint_key(organization_id="studio", role="studio", actor="ada", scopes=scopes)
            for scope, scopes in {
                "write": [Scope.READ, Scope.WRITE],
                "read": [Scope.READ],
                "none": [],
            }.items()
        }
        self.keys = {scope: key for scope, (key, _) in minted.items()}
        self.secrets, self.connected = MemorySecrets(self.memory), list[Integration]()
        self.published = Published()
        self.channels = MemoryChannels(self.memory)
        self.accounts = Accounts(
            vendors=self.ports.vendors,
            links=self.links,
            secrets=self.secrets,
            ports=self.ports,
            sync=self.sync,
            telemetry=telemetry,
            on_link=lambda: None,
            on_connect=self.connected.append,
        )
        self.upkeep = Upkeep(
            accounts=self.accounts,
            links=self.links,
            endings=MemoryEndings(self.memory),
            ports=self.ports,
            keeper=ChannelKeeper(
                store=self.channels,
                links=self.links,
                ports=self.ports,
                clock=self.clock,
                public_url=None,
                on_opened=lambda: None,
            ),
        )
        self.planner = LinkPlanner(
            accounts=self.accounts, ports=self.ports, projection=MemoryProjection(self.memory)
        )
        self.stuck, self.woken = MemoryStuck(self.memory), list[str]()
        self.inspector = Inspector(
            ports=self.ports,
            links=self.links,
            leases=MemoryLeases(self.memory),
            inbound=self.inbound,
            onward=by_table(lambda limit, _: MemoryActivities(self.memory).claim(limit)),
            telemetry=telemetry,
            clock=self.clock,
        )
        self.replays = Replays(
            store=self.stuck,
            links=self.links,
            ports=self.ports,
            inspector=self.inspector,
            telemetry=telemetry,
            clock=self.clock,
            on_replay=lambda: self.woken.append("translate"),
            on_retry=lambda: self.woken.append("deliver"),
        )
        self.app = build_app(
            webhooks=Webhooks(
                secrets=self.secrets,
                checks=SignatureChecks(documents=KeyDocuments(self.published, self.clock), clock=self.clock),
                channels=self.channels,
                ports=self.ports,
                arrivals=self.arrivals,
                telemetry=telemetry,
                clock=self.clock,
                vendors=frozenset({"desk"}),
                public_url=public_url,
                max_at_once=max_webhooks,
                rush=self.rush,
                saw=self.seen.append,
            ),
            rest=Rest(
                keys=KeyRing([entry for _, entry in minted.values()]),
                accounts=self.accounts,
                links=self.links,
                journeys=self.journeys,
            ),
            events=EventStream(sync=self.sync, max_at_once=max_streams),
            ready=lambda: self.ready,
            degraded=lambda: {"redis": "hints are slower"},
        )

    def _integration(self) -> tuple[Integration, Account]:
        integration = Integration(
            integration_id=self.link.integration_id,
            organization_id="studio",
            vendor="desk",
            base_url="https://desk.invalid",
            created_at=datetime(2027, 1, 1, tzinfo=UTC),
            sealed=b"",
        )
        return integration, Account(integration_id=integration.integration_id, base_url=integration.base_url)

    async def hook(
        self,
        event: Any = None,
        *,
        body: bytes | None = None,
        path: str = HOOK,
        headers: Mapping[str, str] = JSON,
        query: str = "",
    ) -> Answer:
        """Send a webhook, with the log at work."""
        content = orjson.dumps(event) if body is None else body
        # Two pieces, as a network would cut it.
        half = len(content) // 2
        async with self.committing():
            return await call(
                self.app,
                "POST",
                path,
                chunks=(content[:half], content[half:]),
                headers=headers,
                query=query,
            )

    async def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        key: str = "write",
        query: str = "",
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Send a REST request with one of the keys."""
        sent = {"authorization": f"Bearer {self.keys.get(key, key)}", **(headers or {})}
        content = b"" if body is None else orjson.dumps(body)
        return await call(self.app, method, path, chunks=(content,), headers=sent, query=query)

    @contextlib.asynccontextmanager
    async def committing(self) -> AsyncIterator[None]:
        """Let the log commit meanwhile."""
        loop = asyncio.create_task(self.arrivals.run())
        try:
            yield
        finally:
            loop.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await loop
