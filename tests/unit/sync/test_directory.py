"""Which actor owns a wedding, over owners in this process and a store in memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from typing import cast

import pytest

from services.sync.batch import Answer
from services.sync.directory import Directory
from services.sync.lease import Revoked
from services.sync.mailbox import ActorLost
from services.sync.pool import Placement, Pool
from tests.unit.sync.builders import a_wedding, create, emergency, update
from tests.unit.sync.local_actors import LocalActor, LocalActors
from tests.unit.sync.memory_store import MemoryStore
from wedsync.clock import FakeClock
from wedsync.errors import NotOwner, Overloaded, Unavailable, UnknownWedding
from wedsync.model.changes import Change, Outcome, Priority
from wedsync.model.ids import new_id


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


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    """Room for two weddings in two actors, one of them warm."""
    site = await new_site()
    async for each in _running(site):
        yield each


async def _running(site: Site) -> AsyncIterator[Site]:
    site.pool.start()
    await until(lambda: site.pool.slots)
    passing = asyncio.create_task(site.pass_time())
    yield site
    passing.cancel()
    await site.pool.stop()


async def test_a_warm_actor_takes_the_wedding_and_another_is_started(site: Site) -> None:
    """The first change meets an actor that is there already; the pool then fills up to its bound."""
    first = site.actors.all[0]
    wedding_id = site.wedding()
    assert await site.apply(wedding_id) == [(Outcome.APPLIED, 1)]
    assert site.owner_of(wedding_id) is first
    await until(lambda: len(site.pool.slots) == 2)
    assert site.pool.used_and_free == (1, 1)
    assert len(site.answers) == 1


async def test_a_wedding_stays_with_its_actor(site: Site) -> None:
    """Changes of one wedding go to one owner, which is activated once."""
    wedding_id = site.wedding()
    for sequence in (1, 2, 3):
        assert await site.apply(wedding_id) == [(Outcome.APPLIED, sequence)]
    assert sum(answer.activations for answer in site.answers) == 1


async def test_the_least_recently_used_wedding_makes_room(site: Site) -> None:
    """With two actors a third wedding takes the place of the one asked for longest ago."""
    first, second, third = site.wedding(), site.wedding(), site.wedding()
    await site.apply(first)
    await until(lambda: len(site.pool.slots) == 2)
    for wedding_id in (second, first, third):
        site.clock.advance(0.001)
        await site.apply(wedding_id)
    held = {wedding_id for actor in site.actors.living for wedding_id in actor.owner.holding}
    assert held == {first, third}
    assert await site.apply(second) == [(Outcome.APPLIED, 2)]
    assert len(site.actors.all) == 2


async def test_after_one_death_all_others_are_looked_at(site: Site) -> None:
    """When Ray itself is gone idle actors are found dead at once, not by the patrol's next round."""
    wedding_id = site.wedding()
    await site.apply(wedding_id)
    await until(lambda: len(site.pool.slots) == 2)
    begin = site.clock.monotonic()
    for actor in site.actors.living:
        actor.dead = True
    assert await site.apply(wedding_id) == [(Outcome.APPLIED, 2)]
    assert site.actors.connects == 2
    assert site.clock.monotonic() - begin < 2


async def test_a_start_is_given_up_once_all_others_are_lost(site: Site) -> None:
    """Whatever is being started on a Ray that is gone is not waited for: the pool connects anew at once."""
    wedding_id = site.wedding()
    site.actors.unborn = 1
    await site.apply(wedding_id)
    await until(lambda: len(site.actors.all) == 2)
    site.owner_of(wedding_id).dead = True
    assert await site.apply(wedding_id) == [(Outcome.APPLIED, 2)]
    assert site.actors.connects == 2


async def test_an_actor_never_gets_more_weddings_than_it_has_room_for(site: Site) -> None:
    """A wedding that is wanted again before its old actor let it go waits for that, and does not go back."""
    first, second, third = site.wedding(), site.wedding(), site.wedding()
    await site.apply(first)
    await until(lambda: len(site.pool.slots) == 2)
    site.clock.advance(0.001)
    await site.apply(second)
    slow = site.owner_of(first)
    slow.gate = asyncio.Event()
    edits = [asyncio.create_task(site.apply(third))]  # takes the place of the first, which is still there
    await until(lambda: any(third in slot.weddings for slot in site.pool.slots))
    edits.append(asyncio.create_task(site.apply(first)))
    tries = len(site.answers)
    await until(lambda: len(site.answers) > tries + 2)
    assert [len(slot.weddings) for slot in site.pool.slots] == [1, 1]
    slow.gate.set()
    assert [await edit for edit in edits] == [[(Outcome.APPLIED, 1)], [(Outcome.APPLIED, 2)]]
    assert [len(actor.owner.holding) for actor in site.actors.living] == [1, 1]


async def test_no_room_is_said_with_a_retry_time(site: Site) -> None:
    """While every actor is busy another wedding waits for a bounded time and is then refused."""
    weddings = [site.wedding(), site.wedding()]
    for wedding_id in weddings:
        await site.apply(wedding_id)
        await until(lambda: len(site.pool.slots) == 2)
    gate = asyncio.Event()
    for actor in site.actors.living:
        actor.gate = gate
    busy = [asyncio.create_task(site.apply(wedding_id)) for wedding_id in weddings]
    for _ in range(5):
        await asyncio.sleep(0)
    with pytest.raises(Overloaded) as refused:
        await site.apply(site.wedding())
    assert refused.value.retry_after
    third = asyncio.create_task(site.apply(site.wedding()))
    await asyncio.sleep(0)
    gate.set()
    assert [await task for task in (*busy, third)] == [
        [(Outcome.APPLIED, 2)],
        [(Outcome.APPLIED, 2)],
        [(Outcome.APPLIED, 1)],
    ]


async def test_an_actor_that_dies_after_the_commit_doubles_nothing(site: Site) -> None:
    """The repeat goes to another actor, which finds the change done already."""
    wedding_id = site.wedding()
    made = create()
    await site.apply(wedding_id, made)
    site.owner_of(wedding_id).die_after_next = True
    assert await site.apply(wedding_id, update(made.item_id, {"title": "x"})) == [(Outcome.DUPLICATE, 2)]
    assert len(site.store.log(wedding_id)) == 2


async def test_an_actor_that_is_dead_loses_nothing(site: Site) -> None:
    """A change for an actor that died is applied by another, without waiting for the lease to end."""
    wedding_id = site.wedding()
    await site.apply(wedding_id)
    started = site.clock.monotonic()
    site.owner_of(wedding_id).dead = True
    assert await site.apply(wedding_id) == [(Outcome.APPLIED, 2)]
    assert site.clock.monotonic() - started < 2


async def test_an_actor_that_hangs_is_waited_for_as_long_as_its_lease(site: Site) -> None:
    """Nobody knows whether a silent actor is dead, so its wedding moves when its lease is over."""
    wedding_id = site.wedding()
    await site.apply(wedding_id)
    started = site.clock.monotonic()
    site.owner_of(wedding_id).hangs = True
    assert await site.apply(wedding_id) == [(Outcome.APPLIED, 2)]
    assert 1 < site.clock.monotonic() - started < 8


async def test_a_wedding_of_another_server_is_reached_there(site: Site) -> None:
    """Two servers agree: whoever is asked, the one owner applies the change, and it is loaded once."""
    other = await new_site(beside=site)
    async for _ in _running(other):
        wedding_id = site.wedding()
        assert await site.apply(wedding_id) == [(Outcome.APPLIED, 1)]
        assert await other.apply(wedding_id) == [(Outcome.APPLIED, 2)]
        assert await site.apply(wedding_id) == [(Outcome.APPLIED, 3)]
        assert other.pool.used_and_free[0] == 0
        assert site.store.epoch(wedding_id) == 1


async def test_a_wedding_the_other_server_let_go_of_is_taken_over(site: Site) -> None:
    """Where the owner knows nothing of the wedding any more, the server that is asked places it itself."""
    other = await new_site(beside=site)
    async for _ in _running(other):
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
    async for _ in _running(other):
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
    async for _ in _running(site):
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
    async for _ in _running(site):
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


async def test_waiting_for_room_is_quiet_whatever_the_lanes(site: Site) -> None:
    """While changes of three lanes wait for room nobody wakes the others for ever."""
    weddings = [site.wedding(), site.wedding()]
    for wedding_id in weddings:
        await site.apply(wedding_id)
        await until(lambda: len(site.pool.slots) == 2)
    gate = asyncio.Event()
    for actor in site.actors.living:
        actor.gate = gate
    busy = [asyncio.create_task(site.apply(wedding_id)) for wedding_id in weddings]
    lanes = (Priority.CRITICAL, Priority.NORMAL, Priority.BULK)
    room = site.pool.room = CountedEvent()
    waiting = [
        asyncio.create_task(site.apply(site.wedding(), replace(create(), priority=lane))) for lane in lanes
    ]
    for _ in range(5):
        await asyncio.sleep(0)
    room.set()  # a false alarm
    for _ in range(30):
        await asyncio.sleep(0)
    assert room.times == 1
    gate.set()
    for task in waiting:
        task.cancel()
    await asyncio.gather(*busy, *waiting, return_exceptions=True)


async def test_a_change_is_not_tried_beyond_its_deadline(site: Site) -> None:
    """Whoever waits for a second is told after a second that no owner was found."""
    wedding_id = site.wedding()
    await site.apply(wedding_id)
    site.owner_of(wedding_id).hangs = True
    started = site.clock.monotonic()
    with pytest.raises(Unavailable):
        await site.directory.apply(wedding_id, [create()], seconds=1.0)
    assert site.clock.monotonic() - started <= 1.0


async def test_another_services_wedding_is_refused_in_the_end(site: Site) -> None:
    """While somebody else's lease goes on the change is repeated for a bounded time, then NOT_OWNER."""
    wedding_id, rival = site.wedding(), new_id()
    site.store.renew(rival, 1e6)
    site.store.activate(wedding_id, rival)
    with pytest.raises(NotOwner):
        await site.apply(wedding_id)
    assert site.pool.used_and_free[0] == 0


async def test_an_unknown_wedding_takes_no_room(site: Site) -> None:
    """What does not exist is said at once, and its place is free again."""
    with pytest.raises(UnknownWedding):
        await site.apply(new_id())
    assert site.pool.used_and_free[0] == 0


async def test_a_database_that_is_away_is_waited_for(site: Site) -> None:
    """While the store is down the change is repeated, and applied once it is back."""
    wedding_id = site.wedding()
    await site.apply(wedding_id)
    site.store.down = True
    waiting = asyncio.create_task(site.apply(wedding_id))
    await asyncio.sleep(0)
    site.store.down = False
    assert await waiting == [(Outcome.APPLIED, 2)]
    site.store.down = True
    with pytest.raises(Unavailable):
        await site.apply(wedding_id)
    site.store.down = False


async def test_an_idle_actor_that_died_is_replaced(site: Site) -> None:
    """The patrol finds a dead actor that nobody called."""
    first = site.actors.all[0]
    first.dead = True
    await until(lambda: len(site.actors.all) > 1 and site.pool.slots)
    await site.pool.check()
    assert all(slot.actor is not first for slot in site.pool.slots)


async def test_births_that_fail_are_tried_again(site: Site) -> None:
    """An actor that does not come up is given up, and another is started after a pause."""
    site.actors.stillborn = 2
    await site.apply(site.wedding())
    await until(lambda: len(site.pool.slots) == 2)
    assert len(site.actors.all) == 4


async def test_lost_ray_is_not_ready_and_is_found_again(site: Site) -> None:
    """When Ray goes away with all actors the service is not ready, and connects anew once it is back."""
    site.actors.away = True
    for actor in site.actors.all:
        actor.dead = True
    await until(lambda: not site.pool.slots)
    with pytest.raises(Unavailable):
        await site.pool.check()
    connects = site.actors.connects
    await until(lambda: site.actors.connects > connects + 1)
    site.actors.away = False
    await until(lambda: site.pool.slots)
    assert await site.apply(site.wedding()) == [(Outcome.APPLIED, 1)]


async def test_idle_weddings_are_let_go_of() -> None:
    """A wedding nobody asked for in a while is passivated, and its actor is free for others."""
    site = await new_site(idle_seconds=10.0)
    async for _ in _running(site):
        wedding_id = site.wedding()
        await site.apply(wedding_id)
        await until(lambda: site.pool.used_and_free[0] == 0)
        await until(lambda: not any(actor.owner.holding for actor in site.actors.living))
        assert await site.apply(wedding_id) == [(Outcome.APPLIED, 2)]


async def test_shared_placement_spreads_weddings() -> None:
    """With room for many each new wedding goes to the least loaded actor."""
    site = await new_site(capacity=10, warm=2)
    async for _ in _running(site):
        await until(lambda: len(site.pool.slots) == 2)
        for _ in range(6):
            await site.apply(site.wedding())
        assert sorted(len(actor.owner.holding) for actor in site.actors.living) == [3, 3]


async def test_stopping_gives_everything_up(site: Site) -> None:
    """After stop another owner takes the wedding over at once, and whoever still waits is told."""
    wedding_id = site.wedding()
    await site.apply(wedding_id)
    await site.pool.stop()
    rival = new_id()
    site.store.renew(rival, 5.0)
    assert site.store.activate(wedding_id, rival).sequence == 1
