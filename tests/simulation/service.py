"""One server of the sync service: directory, pool, mailboxes and outbox as in production; only no wire."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from services.sync.directory import Directory
from services.sync.edits import AfterCommit
from services.sync.facts import Destination, Fact
from services.sync.live import Live
from services.sync.outbox import Courier, Deliver, Outbox
from services.sync.pause import require_let_through
from services.sync.pool import Placement, Pool
from tests.simulation.actors import ActorProcess, Actors
from tests.simulation.loop import Process
from tests.simulation.server import Server
from tests.simulation.store import ServiceConnection
from tests.simulation.surroundings import Surroundings, fail, succeed
from wedsync.errors import Unavailable, WedSyncError
from wedsync.model.changes import Change, ChangeResult
from wedsync.runtime.telemetry import Telemetry

T = TypeVar("T")


class Refused(Exception):
    """Nobody listens there: nothing happened."""


@dataclass(frozen=True, slots=True)
class Shown:
    """An entry of the log as watchers get it."""

    sequence: int
    change_id: str

    def ByteSize(self) -> int:  # noqa: N802  # protobuf's name
        """Return its size."""
        return 100


class Hints:
    """Redis between servers: about half of what is published arrives."""

    def __init__(self, around: Surroundings) -> None:
        self._around = around
        self._subscribers: list[asyncio.Queue[bytes]] = []

    def publish(self, channel: str, payload: bytes = b"") -> None:
        """Send a hint."""
        for subscriber in self._subscribers:
            if self._around.random() < 0.5:
                subscriber.put_nowait(payload)

    async def subscribe(self, channel: str) -> AsyncIterator[bytes]:
        """Yield hints."""
        inbox: asyncio.Queue[bytes] = asyncio.Queue()
        self._subscribers.append(inbox)
        try:
            while True:
                yield await inbox.get()
        finally:
            self._subscribers.remove(inbox)


Watching = asyncio.Queue[Sequence[Shown] | None]
"""What one connection brings; None when it is broken."""


class Service(Process):
    """A server's process."""

    def __init__(
        self,
        name: str,
        around: Surroundings,
        server: Server,
        *,
        actors: dict[str, ActorProcess],
        delivers: dict[Destination, Deliver],
        hints: Hints,
        placement: Placement,
    ) -> None:
        super().__init__(name, around.loop)
        self._around, self._server = around, server
        store = ServiceConnection(server, self)
        self._outbox = Outbox(
            {
                to: Courier(
                    to,
                    store=store,
                    deliver=self._delivering(deliver),
                    telemetry=Telemetry(),
                    clock=around,
                    jitter=around.random,
                )
                for to, deliver in delivers.items()
            }
        )
        self._live = Live(
            hints,
            store,
            show=lambda _, entry: Shown(entry.result.sequence, entry.change.change_id),
            clock=around,
            jitter=around.random,
        )
        self.pool = Pool(
            actors=Actors(around, server, self, actors, placement.capacity),
            leases=store,
            on_answer=AfterCommit(outbox=self._outbox, live=self._live),
            placement=placement,
            clock=around,
            jitter=around.random,
        )
        self._directory = Directory(pool=self.pool, placement=placement, clock=around, jitter=around.random)
        self._calls: dict[asyncio.Future[Any], None] = {}
        self.on_death.append(self._hang_up)
        self.spawn(self._start())

    async def _start(self) -> None:
        self._live.start()
        self._outbox.start()
        self.pool.start()

    def _hang_up(self) -> None:
        for call in list(self._calls):
            fail(call, Unavailable("the connection was lost"))

    def _delivering(self, deliver: Deliver) -> Deliver:
        async def careful(facts: Sequence[Fact]) -> None:
            await self._around.at("outbox.before_handover", self)
            await deliver(facts)
            await self._around.at("outbox.after_handover", self)

        return careful

    async def apply(
        self, wedding_id: str, changes: Sequence[Change], seconds: float
    ) -> Sequence[ChangeResult]:
        """Call ApplyChanges. Raises `Refused` if nothing happened, and what the directory raises."""

        async def work() -> Sequence[ChangeResult]:
            applied = await self._directory.apply(wedding_id, changes, seconds=seconds)
            await self._around.at("service.before_reply", self)
            require_let_through(applied.results)
            return applied.results

        return await self._ask(work)

    def watch(self, wedding_id: str, after: int) -> tuple[Watching, asyncio.Task[None]]:
        """Call WatchWedding; whoever does not read on cancels it."""
        shown: Watching = asyncio.Queue()
        self.on_death.append(lambda: shown.put_nowait(None))
        if self.dead:
            shown.put_nowait(None)
        return shown, self.spawn(self._show(wedding_id, after, shown))

    async def _show(self, wedding_id: str, after: int, shown: Watching) -> None:
        try:
            async with self._live.watching(wedding_id, viewer=None, after=after) as watch:
                while True:
                    messages = await watch.news()
                    await self._around.way()
                    shown.put_nowait([message for message in messages if isinstance(message, Shown)])
        except WedSyncError:
            shown.put_nowait(None)

    async def _ask(self, work: Callable[[], Awaitable[T]]) -> T:
        reply: asyncio.Future[T] = self._around.loop.create_future()
        await self._around.way()
        if self.dead:
            raise Refused
        self._calls[reply] = None
        task = self.spawn(self._answer(work, reply))
        try:
            return await reply
        finally:
            self._calls.pop(reply, None)
            if self._around.random() < 0.5:
                task.cancel()  # mostly it is over; else the server learns that nobody waits any more

    async def _answer(self, work: Callable[[], Awaitable[T]], reply: asyncio.Future[T]) -> None:
        try:
            result = await work()
        except Exception as error:  # noqa: BLE001  # whatever it is, the caller is told
            await self._around.way()
            fail(reply, error)
        else:
            await self._around.way()
            succeed(reply, result)
