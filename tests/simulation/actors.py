"""Ray, as far as the core can tell: it starts owners' processes, calls them, and now and then is wrong."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, TypeVar

from services.sync.batch import dump_answer, load_batch
from services.sync.lease import Heartbeat, Lease, Revoked
from services.sync.mailbox import ActorLost
from services.sync.owner import Owner
from tests.simulation.greenlets import Event, Lock, in_thread
from tests.simulation.loop import Process
from tests.simulation.server import Server
from tests.simulation.store import OwnerConnection
from tests.simulation.surroundings import Surroundings, fail, succeed
from wedsync.errors import WedSyncError

T = TypeVar("T")

_START_SECONDS = 1.0


class ActorProcess(Process):
    """One owner, as `WeddingActor` has it: a batch at a time, and a heartbeat beside it."""

    def __init__(
        self,
        name: str,
        around: Surroundings,
        server: Server,
        *,
        owner_id: str,
        capacity: int,
        started_by: Process,
    ) -> None:
        super().__init__(name, around.loop)
        self.started_by = started_by
        self._around, self._turn = around, asyncio.Lock()
        store, leases = OwnerConnection(server, self), OwnerConnection(server, self)
        self._lease = Lease(lambda seconds: leases.renew(owner_id, seconds), around.monotonic)
        self.owner = Owner(
            owner_id=owner_id,
            store=store,
            lease=self._lease,
            capacity=capacity,
            nanoseconds=around.nanoseconds,
        )
        self._heartbeat = Heartbeat(self._lease, on_revoked=self.kill)
        _on_greenlets(self._lease, self._heartbeat)
        self.calls: dict[asyncio.Future[Any], Process] = {}
        """Who waits for what."""
        self.written_off = False
        """Whether Ray believes that it is dead, and is wrong."""
        self._up = self.spawn(self._rise())

    async def _rise(self) -> None:
        await asyncio.sleep(self._around.random() * _START_SECONDS)
        try:
            await in_thread(self._lease.renew)
        except (WedSyncError, Revoked):
            self.kill()
        self.spawn(in_thread(self._heartbeat._run))

    async def apply(self, batch: bytes) -> bytes:
        """Apply a batch."""
        answer = await self._in_turn(lambda: dump_answer(self.owner.apply(load_batch(batch))))
        await self._around.at("owner.before_answer", self)
        return answer

    async def ping(self) -> int:
        """Answer once it works."""
        return await self._in_turn(lambda: 1)

    async def retire(self) -> None:
        """Give everything up."""
        await self._in_turn(self.owner.retire)
        self._around.later(0.01, self.kill)

    async def _in_turn(self, work: Callable[[], T]) -> T:
        await asyncio.shield(self._up)
        async with self._turn:
            return await in_thread(work)

    def lost_sight_of(self) -> None:
        """Be written off by Ray, which tells the service that started it."""
        self.written_off = True
        for call, caller in list(self.calls.items()):
            if caller is self.started_by:
                fail(call, ActorLost("its node was lost"))

    def kill(self) -> None:
        """End it. Ray tells who waits for it; where a whole node is gone it does not."""
        calls, self.calls = self.calls, {}
        super().kill()
        if self._around.random() < 0.7:
            for call in calls:
                self._around.later(self._around.random(), partial(fail, call, ActorLost("it died")))


def _on_greenlets(lease: Lease, heartbeat: Heartbeat) -> None:
    """Have owner and heartbeat take turns like two threads, by the scheduler's will."""
    for thing, name, instead in ((lease, "_renewing", Lock()), (heartbeat, "_over", Event())):
        assert name in vars(thing), f"{type(thing).__name__} has no {name} any more"
        setattr(thing, name, instead)


class Actor:
    """An owner as a service calls it."""

    def __init__(self, around: Surroundings, process: ActorProcess, caller: Process) -> None:
        self._around, self.process, self._caller = around, process, caller

    async def apply(self, batch: bytes, seconds: float) -> bytes:
        """Return the answer to a batch."""
        await self._around.at("service.before_call", self._caller)
        answer = await self._ask(lambda: self.process.apply(batch), seconds, "owner.after_answer")
        await self._around.at("service.after_answer", self._caller)
        return answer

    async def ping(self, seconds: float) -> int:
        """Return its process id."""
        return await self._ask(self.process.ping, seconds)

    async def retire(self, seconds: float) -> None:
        """Have it give everything up."""
        await self._ask(self.process.retire, seconds)

    async def kill(self, seconds: float) -> bool:
        """End it, mostly. Sometimes it lives on, and sometimes Ray says that it is dead and is wrong."""
        await self._around.way()
        if self._around.random() < 0.7 and not self.process.written_off:
            self.process.kill()
        known = self.process.written_off or self._around.random() < (0.7 if self.process.dead else 0.3)
        self._around.note(self.process, f"is ended: dead {self.process.dead}, known {known}")
        return known

    async def _ask(self, work: Callable[[], Awaitable[T]], seconds: float, after: str = "") -> T:
        reply: asyncio.Future[T] = self._around.loop.create_future()
        self.process.calls[reply] = self._caller
        try:
            async with asyncio.timeout(seconds):
                await self._around.way()
                if self.process.dead:
                    raise ActorLost("it is dead")
                self.process.spawn(self._answer(work, reply, after))
                return await reply
        except TimeoutError as error:
            raise ActorLost(f"no answer within {seconds:g} s") from error
        finally:
            self.process.calls.pop(reply, None)

    async def _answer(self, work: Callable[[], Awaitable[T]], reply: asyncio.Future[T], after: str) -> None:
        try:
            tell = partial(succeed, reply, await work())
        except WedSyncError as error:
            tell = partial(fail, reply, ActorLost(type(error).__name__))
        self._around.later(self._around.way_seconds(), tell)  # on its way, whatever becomes of the process
        if after:
            await self._around.at(after, self.process)


class Actors:
    """Starts owners for one service; finds those of all."""

    def __init__(
        self,
        around: Surroundings,
        server: Server,
        service: Process,
        everybody: dict[str, ActorProcess],
        capacity: int,
    ) -> None:
        self._around, self._server, self._service = around, server, service
        self._everybody, self._capacity = everybody, capacity

    async def connect(self) -> None:
        """Connect."""
        await self._reach()

    async def start(self, owner_id: str) -> Actor:
        """Start an owner."""
        await self._reach()
        name = f"a{len(self._everybody) + 1}"
        process = ActorProcess(
            name,
            self._around,
            self._server,
            owner_id=owner_id,
            capacity=self._capacity,
            started_by=self._service,
        )
        self._everybody[owner_id] = process
        self._service.on_death.append(lambda: self._orphaned(process))
        return Actor(self._around, process, self._service)

    async def find(self, owner_id: str) -> Actor:
        """Return anybody's owner."""
        await self._reach()
        if owner_id not in self._everybody or self._everybody[owner_id].dead:
            raise ActorLost("there is no such owner")
        return Actor(self._around, self._everybody[owner_id], self._service)

    async def close(self) -> None:
        """Let go of all."""

    def _orphaned(self, process: ActorProcess) -> None:
        """Ray ends the owners of a service that is gone, when it notices."""
        self._around.later(self._around.random() * 4.0, process.kill)

    async def _reach(self) -> None:
        await self._around.way()
        if self._around.loop.time() < self._around.ray_away_until:
            raise ActorLost("Ray is away")
