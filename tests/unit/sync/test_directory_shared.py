"""Several servers over one store, live weddings, and the place that is kept for emergencies."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import cast

import pytest

from services.sync.lease import Revoked
from services.sync.mailbox import ActorLost
from tests.unit.sync.builders import create, emergency
from tests.unit.sync.local_actors import LocalActor
from tests.unit.sync.site import Site, new_site, running, until
from wedsync.errors import Overloaded
from wedsync.model.changes import Outcome


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    """Room for two weddings in two actors, one of them warm."""
    site = await new_site()
    async for each in running(site):
        yield each


async def test_a_wedding_of_another_server_is_reached_there(site: Site) -> None:
    """Two servers agree: whoever is asked, the one owner applies the change, and it is loaded once."""
    other = await new_site(beside=site)
    async for _ in running(other):
        wedding_id = site.wedding()
        assert await site.apply(wedding_id) == [(Outcome.APPLIED, 1)]
        assert await other.apply(wedding_id) == [(Outcome.APPLIED, 2)]
        assert await site.apply(wedding_id) == [(Outcome.APPLIED, 3)]
        assert other.pool.used_and_free[0] == 0
        assert site.store.epoch(wedding_id) == 1


async def test_a_wedding_the_other_server_let_go_of_is_taken_over(site: Site) -> None:
    """Where the owner knows nothing of the wedding any more, the server that is asked places it itself."""
    other = await new_site(beside=site)
    async for _ in running(other):
        wedding_id = site.wedding()
        await site.apply(wedding_id)
        await other.apply(wedding_id)
        [slot] = [slot for slot in site.pool.slots if wedding_id in slot.weddings]
        slot.let_go(wedding_id)
        assert await other.apply(wedding_id) == [(Outcome.APPLIED, 3)]
        assert other.pool.used_and_free[0] == 1


async def test_a_server_that_died_is_waited_for_as_long_as_its_lease(site: Site) -> None:
    """Its actors end with it; when their leases are over another server has the weddings."""
    other = await new_site(beside=site)
    async for _ in running(other):
        wedding_id = site.wedding()
        await site.apply(wedding_id)
        await other.apply(wedding_id)
        for actor in site.actors.all:
            actor.dead = True
        started = site.clock.monotonic()
        assert await other.apply(wedding_id) == [(Outcome.APPLIED, 3)]
        assert site.clock.monotonic() - started < 15


async def test_an_owner_that_cannot_be_reached_is_revoked(site: Site) -> None:
    """An owner that keeps its lease alive but answers nobody is told to leave, and its wedding moves."""
    wedding_id = site.wedding()
    await site.apply(wedding_id)
    owner = site.owner_of(wedding_id)
    owner.hangs = True
    [owner_id] = [known for known, actor in site.actors.by_owner.items() if actor is owner]
    assert await site.apply(wedding_id) == [(Outcome.APPLIED, 2)]
    with pytest.raises(Revoked):
        site.store.renew(owner_id, 5.0)
    with pytest.raises(ActorLost):
        await site.pool.reach(owner_id)


async def test_live_weddings_are_passivated_last(site: Site) -> None:
    """A wedding in its live window keeps its place, though another was asked for more recently."""
    live, everyday, third = site.wedding(), site.wedding(), site.wedding()
    await site.directory.apply(live, [create()], live_seconds=1e6)
    await until(lambda: len(site.pool.slots) == 2)
    for wedding_id in (everyday, third):
        site.clock.advance(0.001)
        await site.apply(wedding_id)
    held = {wedding_id for actor in site.actors.living for wedding_id in actor.owner.holding}
    assert held == {live, third}


async def test_live_weddings_are_not_idle() -> None:
    """Nobody may have asked for it in a while, but until its day is over it stays loaded."""
    site = await new_site(idle_seconds=10.0)
    async for _ in running(site):
        live, everyday = site.wedding(), site.wedding()
        await site.directory.apply(live, [create()], live_seconds=60.0)
        await until(lambda: len(site.pool.slots) == 2)
        await site.apply(everyday)
        await until(lambda: site.pool.used_and_free[0] == 1)
        assert [*site.pool.slots[0].weddings, *site.pool.slots[1].weddings] == [live]
        await until(lambda: site.pool.used_and_free[0] == 0)


async def test_a_place_is_kept_for_emergencies() -> None:
    """With every other actor busy for good, an everyday edit is refused and an emergency applied."""
    site = await new_site(warm=2, most=3, kept=1)
    async for _ in running(site):
        weddings = [site.wedding(), site.wedding()]
        for wedding_id in weddings:
            await until(lambda: site.pool.used_and_free[1] == 2)  # else the first would make room
            await site.apply(wedding_id)
        await until(lambda: site.pool.used_and_free == (2, 1))
        gate = asyncio.Event()
        for slot in site.pool.slots:
            if slot.weddings:
                cast("LocalActor", slot.actor).gate = gate
        busy = [asyncio.create_task(site.apply(wedding_id)) for wedding_id in weddings]
        for _ in range(5):
            await asyncio.sleep(0)
        with pytest.raises(Overloaded):
            await site.apply(site.wedding())
        assert await site.apply(site.wedding(), emergency(create())) == [(Outcome.APPLIED, 1)]
        gate.set()
        await asyncio.gather(*busy)


class CountedEvent(asyncio.Event):
    """An event that knows how often it was set."""

    def __init__(self) -> None:
        super().__init__()
        self.times = 0

    def set(self) -> None:
        """Set it."""
        self.times += 1
        super().set()


async def test_nothing_is_kept_while_the_pool_fills() -> None:
    """The first actor that is up takes an everyday edit, although one is to be kept once all are there."""
    site = await new_site(warm=1, most=3, kept=1)
    async for _ in running(site):
        assert await site.apply(site.wedding()) == [(Outcome.APPLIED, 1)]
        assert site.clock.monotonic() < 1.0
