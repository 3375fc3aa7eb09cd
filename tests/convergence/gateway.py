"""One gateway as a process: its engine as in production, on tables in memory and lines to vendors."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeVar, cast

from services.gateway.arrivals import Arrivals
from services.gateway.engine import Engine, Stores
from services.gateway.health_report import HealthReport, Tally
from services.gateway.ports import Ports
from services.gateway.settings import GatewaySettings
from services.gateway.store.deliveries import Commit
from services.gateway.store.inbound import Arrival
from services.gateway.store.journeys import JourneyStore
from services.gateway.store.latency import LatencyStore
from services.gateway.store.tokens import TokenStore
from services.gateway.vendor_http import VendorHttp
from services.gateway.vendors.manifest import Vendor
from services.gateway.vendors.port import VendorPort
from tests.convergence.api import Api, Line
from tests.convergence.canon import Canon, CanonClient
from tests.convergence.tables import (
    Tables,
    TimedActivities,
    TimedDeliveries,
    TimedInbound,
    TimedLeases,
    TimedLinks,
    TimedPolls,
)
from tests.simulation.loop import Process
from tests.simulation.surroundings import Surroundings, fail, succeed
from tests.support.gateway_channels import MemoryChannels
from tests.support.gateway_fakes import MemorySecrets
from tests.support.gateway_stuck import MemoryEndings, MemoryProjection, MemoryStuck
from tests.support.gateway_world import FakeDecisions
from wedsync.errors import Unavailable
from wedsync.runtime.background import Background
from wedsync.runtime.telemetry import Telemetry

T = TypeVar("T")
Store = TypeVar("Store")

_BROKEN = 0.002
"""How often the connection to the database breaks with an answer."""

_SETTINGS = GatewaySettings.model_validate(
    dict.fromkeys(("database_url", "worker_database_url"), "postgresql://none")
    | dict.fromkeys(("api_keys_file", "internal_key_file", "vault_keys_file"), "none")
)


class _Nobody:
    """Reads no reports."""

    async def send(self, tallies: Sequence[Tally]) -> None:
        """Throw them away."""


class Gateway(Process):
    """It dies as a whole, and what it was about to do is never done."""

    def __init__(
        self, name: str, around: Surroundings, *, tables: Tables, lines: Mapping[str, Line], canon: Canon
    ) -> None:
        super().__init__(name, around.loop)
        self._around = around
        stores = self._stores(tables)
        self._deliveries = stores.deliveries
        self._engine = Engine(
            _SETTINGS,
            stores=stores,
            ports=Ports(vendors=self._vendors(lines), links=stores.links, http=VendorHttp()),
            sync=CanonClient(canon, self),
            decisions=FakeDecisions(),
            telemetry=Telemetry(),
            clock=around,
            report=HealthReport(reports=_Nobody(), clock=around),
        )
        self._arrivals = Arrivals(store=stores.inbound, onward=self._engine.webhooks)
        self._calls: dict[asyncio.Future[Any], None] = {}
        self.on_death.append(self._hang_up)
        self.spawn(self._run())

    async def accept(self, arrival: Arrival) -> str:
        """Take a webhook, as the HTTP server does once it knows whose it is."""
        return await self._ask(lambda: self._arrivals.accept(arrival))

    async def commits(self, commits: Sequence[Commit]) -> None:
        """Take over what the sync service committed, as the gRPC server does."""

        async def taken() -> None:
            onward = self._engine.deliveries
            onward.go_on(await self._deliveries.accept(commits, room=onward.room))

        await self._ask(taken)

    async def _run(self) -> None:
        async with contextlib.AsyncExitStack() as stack:
            background = Background(stack, on_failure=self.kill)
            self._engine.start(background)
            background.start(self._arrivals.run(), "arrivals")
            await asyncio.get_running_loop().create_future()

    def _stores(self, tables: Tables) -> Stores:
        return Stores(
            inbound=self._behind("inbound", TimedInbound(tables)),
            activities=self._behind("activities", TimedActivities(tables)),
            leases=self._behind("leases", TimedLeases(tables)),
            links=self._behind("links", TimedLinks(tables)),
            polls=self._behind("polls", TimedPolls(tables)),
            deliveries=self._behind("deliveries", TimedDeliveries(tables)),
            secrets=MemorySecrets(tables),
            channels=MemoryChannels(tables),
            projection=MemoryProjection(tables),
            endings=MemoryEndings(tables),
            stuck=MemoryStuck(tables),
            # What only calls from outside and accounts with tokens need.
            tokens=cast("TokenStore", None),
            journeys=cast("JourneyStore", None),
            latency=cast("LatencyStore", None),
        )

    def _vendors(self, lines: Mapping[str, Line]) -> dict[str, Vendor]:
        return {
            name: Vendor(manifest=line.system.manifest, create_adapter=self._adapter(line))
            for name, line in lines.items()
        }

    def _adapter(self, line: Line) -> Callable[..., VendorPort]:
        return lambda *_: Api(line, self)

    def _behind(self, name: str, store: Store) -> Store:
        return cast("Store", _Door(self._around, self, name, store))

    async def _ask(self, work: Callable[[], Awaitable[T]]) -> T:
        """Call it from outside: it may be dead, or die before it answers."""
        await self._around.way()
        if self.dead:
            raise Unavailable("nobody listens")
        reply: asyncio.Future[T] = self._around.loop.create_future()
        self._calls[reply] = None
        self.spawn(self._answer(work, reply))
        try:
            return await reply
        finally:
            self._calls.pop(reply, None)

    async def _answer(self, work: Callable[[], Awaitable[T]], reply: asyncio.Future[T]) -> None:
        try:
            result = await work()
        except Exception as error:  # noqa: BLE001  # whatever it is, the caller is told
            fail(reply, error)
        else:
            succeed(reply, result)

    def _hang_up(self) -> None:
        for call in list(self._calls):
            fail(call, Unavailable("the connection was lost"))


class _Door:
    """One process' way to a store: each call is a transaction, round which the process may die or freeze."""

    def __init__(self, around: Surroundings, process: Process, name: str, store: object) -> None:
        self._around, self._process, self._name, self._store = around, process, name, store

    def __getattr__(self, what: str) -> Any:
        inner = getattr(self._store, what)
        if not inspect.iscoroutinefunction(inner):
            return inner

        async def call(*args: Any, **named: Any) -> Any:
            await self._pass(f"{self._name}.{what} before")
            answer = await inner(*args, **named)
            if not self._around.faults.over and self._around.random() < _BROKEN:
                self._around.faults.struck["database breaks"] += 1
                raise ConnectionError("nobody knows whether it was done")
            await self._pass(f"{self._name}.{what} after")
            return answer

        return call

    async def _pass(self, point: str) -> None:
        await self._around.way()
        await self._around.at(point, self._process)
        if self._process.dead:
            raise asyncio.CancelledError
