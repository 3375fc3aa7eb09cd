"""The actors there are: started in the background, watched, replaced. A warm few wait for work.

Starting one costs half a second of CPU, so nobody who wants a change applied ever waits for that.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, Protocol

from services.sync.batch import Answer, Batch, dump_batch, load_answer
from services.sync.mailbox import ActorLost, Mailbox
from wedsync.clock import Clock
from wedsync.errors import Unavailable, WedSyncError
from wedsync.model.ids import new_id

_log = logging.getLogger(__name__)

_START_SECONDS = 30.0
_END_SECONDS = 2.0
_PATROL_SECONDS = 5.0
_GIVEN_UP_SECONDS = 60.0  # much longer than a lease
_FIRST_START_PAUSE, _LONGEST_START_PAUSE = 0.2, 15.0


class Actor(Protocol):
    """One owner process, wherever it runs. Every method but `kill` raises `ActorLost`."""

    async def apply(self, batch: bytes, seconds: float) -> bytes:
        """Return the answer to a batch."""
        ...

    async def ping(self, seconds: float) -> int:
        """Return its process id."""
        ...

    async def retire(self, seconds: float) -> None:
        """Have it give everything up."""
        ...

    async def kill(self, seconds: float) -> bool:
        """End it; True once it is known to be dead."""
        ...


class Actors(Protocol):
    """Where actors come from. Raises `ActorLost`."""

    async def connect(self) -> None:
        """Connect, anew where the connection was lost."""
        ...

    async def start(self, owner_id: str) -> Actor:
        """Start an actor that owns under this id."""
        ...

    async def find(self, owner_id: str) -> Actor:
        """Return the actor that owns under this id, whichever server started it."""
        ...

    async def close(self) -> None:
        """Let go of all."""
        ...


class Leases(Protocol):
    """The rows that say how long each owner may go on. Raises `WedSyncError`."""

    async def end_lease(self, owner_id: str) -> None:
        """End the lease of an owner that is said to be dead: its weddings may be taken over at once."""
        ...

    async def revoke_lease(self, owner_id: str) -> None:
        """Have the lease of an owner that nobody reaches run out, whatever the owner does."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """How weddings are spread over actors, and how long anything may take."""

    capacity: int = 1
    """Weddings of one actor."""
    warm: int = 2
    """Actors that wait for a first wedding."""
    most: int = 16
    kept: int = 0
    """Places that only an emergency may take."""
    idle_seconds: float = 600.0
    call_seconds: float = 5.0
    patience_seconds: float = 8.0
    """How long a change waits for an owner; longer than a lease, so that a vanished owner's may end."""
    queue_limit: int = 2000
    window_seconds: float = 0.005


@dataclass(frozen=True, slots=True)
class Place:
    """A wedding's place in an actor: when it was last asked for, and until when it is live."""

    used: float
    live_until: float = 0.0


@dataclass(slots=True, kw_only=True, eq=False)
class Slot:
    """One actor, what waits for it, and the weddings it owns."""

    owner_id: str
    actor: Actor
    mailbox: Mailbox
    weddings: dict[str, Place] = field(default_factory=dict)

    def quiet(self, wedding_id: str) -> bool:
        """Say whether nobody waits for the wedding."""
        return not self.mailbox.busy(wedding_id)

    def let_go(self, wedding_id: str) -> None:
        """Have the actor give the wedding up."""
        del self.weddings[wedding_id]
        self.mailbox.release(wedding_id)


class Pool:
    """Keeps `warm` free actors at hand, up to `most` in all."""

    def __init__(
        self,
        *,
        actors: Actors,
        leases: Leases,
        on_answer: Callable[[Answer], None],
        placement: Placement,
        clock: Clock,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._actors, self._leases, self._on_answer = actors, leases, on_answer
        self._placement, self._clock, self._jitter = placement, clock, jitter
        self.slots: list[Slot] = []
        self.elsewhere: dict[str, Slot] = {}
        """Other servers' actors that own weddings we are asked about, by owner id."""
        self._given_up: dict[str, float] = {}
        """Owners that did not answer, and when that was: they are not called again, their leases run out."""
        self.room = asyncio.Event()
        """Set whenever there may be room for a wedding that found none."""
        self._wanted = asyncio.Event()
        self._alarm = asyncio.Event()
        """Set when an actor was lost: whatever ended it may have ended others."""
        self._deserted = asyncio.Event()
        """Set when the last actor was lost: Ray itself may be gone, and what is being started with it."""
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def used_and_free(self) -> tuple[int, int]:
        """Return how many actors own something, and how many are free."""
        used = sum(bool(slot.weddings) for slot in self.slots)
        return used, len(self.slots) - used

    async def check(self) -> None:
        """Return if there is an actor to work with. Raises `Unavailable`."""
        if not self.slots:
            raise Unavailable("No wedding actor is up yet.", retry_after=1.0)

    def start(self) -> None:
        """Begin to fill the pool and to watch it, in the background."""
        self._tasks = [
            asyncio.create_task(self._fill_for_ever(), name="actor-pool"),
            asyncio.create_task(self._patrol_for_ever(), name="actor-patrol"),
        ]

    async def stop(self) -> None:
        """Give every wedding up, so that others need not wait for leases to end."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        slots, self.slots = self.slots, []
        for slot in (*slots, *self.elsewhere.values()):
            slot.mailbox.close(ActorLost("the service is shutting down"))
        await asyncio.gather(*(slot.actor.retire(_END_SECONDS) for slot in slots), return_exceptions=True)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_END_SECONDS):
                await self._actors.close()

    def look_at_demand(self) -> None:
        """Notice that actors came into use: another warm one may be wanted."""
        self._wanted.set()

    async def reach(self, owner_id: str) -> Slot:
        """Return the slot of an owner, whichever server started it. Raises `ActorLost`."""
        if owner_id in self._given_up:
            raise ActorLost("it did not answer before")
        known = {slot.owner_id: slot for slot in self.slots} | self.elsewhere
        if owner_id not in known:
            found = self._slot(owner_id, await self._actors.find(owner_id), adopt=False)
            known[owner_id] = self.elsewhere.setdefault(owner_id, found)
        return known[owner_id]

    async def _fill_for_ever(self) -> None:
        pause = _FIRST_START_PAUSE
        while True:
            try:
                if not self.slots:
                    self._deserted.clear()
                    await self._actors.connect()
                await self._fill()
                pause = _FIRST_START_PAUSE
                await self._wanted.wait()
            except ActorLost as lost:
                _log.warning("no actor could be started: %s", lost)
                await self._clock.sleep(pause * (0.5 + self._jitter() / 2))
                pause = min(pause * 2, _LONGEST_START_PAUSE)

    async def _fill(self) -> None:
        self._wanted.clear()
        while self._wants_more():
            self.slots.append(await self._start_one())
            self.room.set()

    def _wants_more(self) -> bool:
        used, free = self.used_and_free
        return free < self._placement.warm and used + free < self._placement.most

    async def _start_one(self) -> Slot:
        owner_id = new_id()
        actor = await self._actors.start(owner_id)
        try:
            await self._came_up(actor)
        except ActorLost:
            await actor.kill(_END_SECONDS)
            raise
        return self._slot(owner_id, actor, adopt=True)

    async def _came_up(self, actor: Actor) -> None:
        """Return once the actor works. Raises `ActorLost`, without much ado when all others are lost."""
        if not await _done_before(self._deserted, actor.ping(_START_SECONDS)):
            raise ActorLost("every other actor was lost meanwhile")

    def _slot(self, owner_id: str, actor: Actor, *, adopt: bool) -> Slot:
        async def call(batch: Batch) -> Answer:
            return await self._call(slot, batch)

        mailbox = Mailbox(
            call,
            clock=self._clock,
            limit=self._placement.queue_limit,
            window=self._placement.window_seconds,
            adopt=adopt,
            on_idle=self.room.set,
        )
        slot = Slot(owner_id=owner_id, actor=actor, mailbox=mailbox)
        return slot

    async def _call(self, slot: Slot, batch: Batch) -> Answer:
        try:
            data = await slot.actor.apply(dump_batch(batch), self._placement.call_seconds)
        except ActorLost as lost:
            await self._bury(slot, lost)
            raise
        answer = load_answer(data)
        self._on_answer(answer)
        return answer

    async def _bury(self, slot: Slot, lost: ActorLost) -> None:
        if slot.owner_id in self._given_up:
            return
        self._given_up[slot.owner_id] = self._clock.monotonic()
        _log.warning("a wedding actor was lost (%s); its %d weddings move", lost, len(slot.weddings))
        slot.weddings.clear()
        ours = slot in self.slots
        if ours:
            self.slots.remove(slot)
            self._wanted.set()
            self._alarm.set()
            if not self.slots:
                self._deserted.set()
        else:
            self.elsewhere.pop(slot.owner_id, None)
        dead = ours and await slot.actor.kill(_END_SECONDS)
        # Wrongly said to be dead: the fence still holds. In either case it may not renew any more.
        end = self._leases.end_lease if dead else self._leases.revoke_lease
        with contextlib.suppress(WedSyncError):
            await end(slot.owner_id)
        slot.mailbox.close(lost)

    async def _patrol_for_ever(self) -> None:
        """Find actors that died while nobody called them, and let go of weddings nobody asks for."""
        while True:
            await _done_before(self._alarm, self._clock.sleep(_PATROL_SECONDS * (0.5 + self._jitter())))
            self._alarm.clear()
            for slot in self.slots:
                self._passivate_idle(slot)
            await asyncio.gather(*(self._look_after(slot) for slot in self.slots if slot.mailbox.idle))
            self._forget_others()

    async def _look_after(self, slot: Slot) -> None:
        try:
            await slot.actor.ping(self._placement.call_seconds)
        except ActorLost as lost:
            await self._bury(slot, lost)

    def _passivate_idle(self, slot: Slot) -> None:
        now = self._clock.monotonic()
        for wedding_id, place in list(slot.weddings.items()):
            idle = max(place.used + self._placement.idle_seconds, place.live_until) < now
            if idle and slot.quiet(wedding_id):
                slot.let_go(wedding_id)

    def _forget_others(self) -> None:
        """Forget other servers' actors that nobody asked for anything lately, and owners long given up."""
        too_old = self._clock.monotonic() - self._placement.idle_seconds
        for owner_id, slot in list(self.elsewhere.items()):
            if slot.mailbox.idle and all(place.used < too_old for place in slot.weddings.values()):
                del self.elsewhere[owner_id]
        self._given_up = {
            owner_id: at for owner_id, at in self._given_up.items() if at >= too_old - _GIVEN_UP_SECONDS
        }


async def _done_before(event: asyncio.Event, work: Coroutine[Any, Any, object]) -> bool:
    """Do the work; give it up and return False once the event happens."""
    task, happened = asyncio.create_task(work), asyncio.create_task(event.wait())
    try:
        await asyncio.wait((task, happened), return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            task.result()
        return task.done()
    finally:
        task.cancel()
        happened.cancel()
