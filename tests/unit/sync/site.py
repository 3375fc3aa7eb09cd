"""A pool and its directory over owners in this process and a store in memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

from services.sync.batch import Answer
from services.sync.directory import Directory
from services.sync.pool import Placement, Pool
from tests.unit.sync.builders import a_wedding, create
from tests.unit.sync.local_actors import LocalActor, LocalActors
from tests.unit.sync.memory_store import MemoryStore
from wedsync.clock import FakeClock
from wedsync.model.changes import Change, Outcome


@dataclass
class Site:
    """A pool and its directory; time passes by itself while anybody sleeps."""

    clock: FakeClock
    store: MemoryStore
    actors: LocalActors
    pool: Pool
    directory: Directory
    answers: list[Answer]

    def wedding(self) -> str:
        """Return a new wedding's id."""
        wedding = a_wedding()
        self.store.add(wedding)
        return wedding.wedding_id

    async def apply(self, wedding_id: str, *changes: Change) -> list[tuple[Outcome, int]]:
        """Apply changes; return what became of each."""
        applied = await self.directory.apply(wedding_id, changes or [create()])
        return [(result.outcome, result.sequence) for result in applied.results]

    def owner_of(self, wedding_id: str) -> LocalActor:
        """Return the actor that owns the wedding."""
        return next(actor for actor in self.actors.living if wedding_id in actor.owner.holding)

    async def pass_time(self) -> None:
        """Let time go on while everybody waits for it."""
        while True:
            for _ in range(20):
                await asyncio.sleep(0)
            self.clock.advance(0.05)


class MemoryLeases:
    """Leases as the service ends them."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store

    async def end_lease(self, owner_id: str) -> None:
        """End one."""
        self._store.bury(owner_id)

    async def revoke_lease(self, owner_id: str) -> None:
        """Have one run out."""
        self._store.revoke(owner_id)


async def until(condition: Callable[[], object]) -> None:
    """Return once the condition holds."""
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110  # conditions of the code under test set no event
            await asyncio.sleep(0)


async def new_site(beside: Site | None = None, **but: object) -> Site:
    """Build a site, of its own or as another server beside one; the pool is filling."""
    clock = beside.clock if beside else FakeClock()
    answers: list[Answer] = []
    store = beside.store if beside else MemoryStore(clock.monotonic)
    placement = Placement(**{"warm": 1, "most": 2, "idle_seconds": 1e9, **but})  # type: ignore[arg-type]
    actors = LocalActors(lambda: store, monotonic=clock.monotonic, capacity=placement.capacity)
    if beside:
        actors.by_owner = beside.actors.by_owner

    pool = Pool(
        actors=actors,
        leases=MemoryLeases(store),
        on_answer=answers.append,
        placement=placement,
        clock=clock,
        jitter=lambda: 0.5,
    )
    directory = Directory(pool=pool, placement=placement, clock=clock, jitter=lambda: 0.5)
    return Site(clock, store, actors, pool, directory, answers)


async def running(site: Site) -> AsyncIterator[Site]:
    """Yield the site while its pool runs and time passes."""
    site.pool.start()
    await until(lambda: site.pool.slots)
    passing = asyncio.create_task(site.pass_time())
    yield site
    passing.cancel()
    await site.pool.stop()
