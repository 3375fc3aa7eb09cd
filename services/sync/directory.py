"""Which actor owns a wedding: placement, passivation, and another try where an owner was lost.

`dedicated` and `shared` placement are the same code, with room for one wedding in an actor or for many.
A wedding that another server's actor owns is reached there.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from services.sync.lanes import LANES
from services.sync.mailbox import NEVER, ActorLost, Applied, lane
from services.sync.owner import OWNER
from services.sync.pool import Place, Placement, Pool, Slot
from wedsync.clock import Clock
from wedsync.errors import DeadlineExceeded, NotOwner, Overloaded, Unavailable, WedSyncError
from wedsync.model.changes import Change, Priority

_FIRST_PAUSE, _LONGEST_PAUSE = 0.02, 1.0
_MAX_TRIES = 40
_ROOM_SECONDS = 2.0
_MAX_WAITING_FOR_ROOM = 200
"""In each lane."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Errand:
    """Changes on their way to their wedding's owner."""

    wedding_id: str
    changes: Sequence[Change]
    lane: Priority
    until: float
    live_until: float


class Directory:
    """Finds an owner for each wedding's changes, and repeats them by their ids where one was lost."""

    def __init__(
        self,
        *,
        pool: Pool,
        placement: Placement,
        clock: Clock,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._pool, self._placement, self._clock, self._jitter = pool, placement, clock, jitter
        self._waiting: Counter[Priority] = Counter()

    async def apply(
        self,
        wedding_id: str,
        changes: Sequence[Change],
        *,
        seconds: float = NEVER,
        live_seconds: float = 0.0,
    ) -> Applied:
        """Have the wedding's owner apply the changes, within some seconds.

        `live_seconds` is how much longer the wedding is in its live window. Raises what the owner met,
        `Overloaded` where neither an actor nor a place in its queue is free, and `Unavailable`,
        `NotOwner` or `DeadlineExceeded` where no owner was found in time.
        """
        now = self._clock.monotonic()
        errand = _Errand(
            wedding_id=wedding_id,
            changes=changes,
            lane=lane(changes),
            until=now + seconds,
            live_until=now + live_seconds,
        )
        return await self._repeat(errand, min(errand.until, now + self._placement.patience_seconds))

    async def _repeat(self, errand: _Errand, until: float) -> Applied:
        tries = 0
        while True:
            try:
                return await self._try(errand)
            except (Unavailable, DeadlineExceeded) as error:
                tries += 1
                pause = self._pause(tries, error.retry_after)
                if tries >= _MAX_TRIES or self._clock.monotonic() + pause > until:
                    raise
                await self._clock.sleep(pause)

    async def _try(self, errand: _Errand) -> Applied:
        slot, loading = await self._slot_of(errand)
        wedding_id = errand.wedding_id
        slot.weddings[wedding_id] = Place(self._clock.monotonic(), errand.live_until)
        try:
            return await slot.mailbox.submit(wedding_id, errand.changes, until=errand.until, loading=loading)
        except ActorLost as lost:
            slot.weddings.pop(wedding_id, None)
            raise Unavailable(f"The wedding's actor was lost: {lost}.", retry_after=0.0) from lost
        except NotOwner as error:
            self._forget(slot, wedding_id)
            raise await self._owned_elsewhere(errand, error) from error
        except WedSyncError as error:
            if not error.retryable:  # there is no such wedding
                self._forget(slot, wedding_id)
            raise

    def _forget(self, slot: Slot, wedding_id: str) -> None:
        slot.weddings.pop(wedding_id, None)
        self._pool.room.set()

    async def _owned_elsewhere(self, errand: _Errand, error: NotOwner) -> NotOwner:
        """Remember who owns the wedding, if that one can be reached; then there is nothing to wait for."""
        if not (owner_id := error.metadata.get(OWNER)):
            return error
        try:
            slot = await self._pool.reach(owner_id)
        except ActorLost:
            return error  # its lease runs out
        if slot in self._pool.slots and len(slot.weddings) >= self._placement.capacity:
            # One of ours has yet to let it go, and its place is taken.
            slot.mailbox.release(errand.wedding_id)
        else:
            slot.weddings[errand.wedding_id] = Place(self._clock.monotonic(), errand.live_until)
        return NotOwner(retry_after=0.0, metadata=error.metadata)

    def _pause(self, tries: int, asked: float | None) -> float:
        ceiling = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2.0 ** min(tries - 1, 8))
        return (asked or 0.0) + ceiling * (0.5 + self._jitter() / 2)

    async def _slot_of(self, errand: _Errand) -> tuple[Slot, bool]:
        """Return the wedding's slot, and whether it has yet to be loaded there."""
        if (found := self._place(errand)) is not None:
            return found
        until = min(errand.until, self._clock.monotonic() + _ROOM_SECONDS)
        with self._in_line(errand.lane):
            while (found := self._place(errand)) is None:
                await self._wait_for_room(until - self._clock.monotonic())
        return found

    def _place(self, errand: _Errand) -> tuple[Slot, bool] | None:
        if (slot := self._find(errand.wedding_id)) is not None:
            return slot, False
        if self._outranked(errand.lane) or (slot := self._room(errand.lane)) is None:
            return None
        if not slot.weddings:
            self._pool.look_at_demand()
        return slot, True

    def _find(self, wedding_id: str) -> Slot | None:
        slots = (*self._pool.slots, *self._pool.elsewhere.values())
        return next((slot for slot in slots if wedding_id in slot.weddings), None)

    def _room(self, for_lane: Priority) -> Slot | None:
        """Return an actor with room, passivating what is used least; some room is kept for emergencies."""
        wanted = 1 if for_lane is Priority.EMERGENCY else 1 + self._placement.kept
        while self._free_places() < wanted:
            if not self._passivate_one():
                return None
        return min(
            (slot for slot in self._pool.slots if len(slot.weddings) < self._placement.capacity),
            key=lambda slot: len(slot.weddings),
        )

    def _free_places(self) -> int:
        capacity = self._placement.capacity
        return sum(max(0, capacity - len(slot.weddings)) for slot in self._pool.slots)

    def _passivate_one(self) -> bool:
        """Let the least recently used wedding go, a live one last; False while all of them are busy."""
        now = self._clock.monotonic()
        quiet = [
            (place.live_until > now, place.used, slot, wedding_id)
            for slot in self._pool.slots
            for wedding_id, place in slot.weddings.items()
            if slot.quiet(wedding_id)
        ]
        if not quiet:
            return False
        *_, slot, wedding_id = min(quiet, key=lambda found: found[:2])
        slot.let_go(wedding_id)
        return True

    def _outranked(self, by_lane: Priority) -> bool:
        """Say whether somebody more urgent waits for room."""
        return any(self._waiting[urgent] for urgent in LANES[: LANES.index(by_lane)])

    @contextlib.contextmanager
    def _in_line(self, in_lane: Priority) -> Iterator[None]:
        """Wait with others for room. Only whoever leaves the line wakes those that had stepped back."""
        if self._waiting[in_lane] >= _MAX_WAITING_FOR_ROOM:
            raise _no_room()
        self._waiting[in_lane] += 1
        try:
            yield
        finally:
            self._waiting[in_lane] -= 1
            if any(self._waiting[lane] for lane in LANES[LANES.index(in_lane) + 1 :]):
                self._pool.room.set()

    async def _wait_for_room(self, seconds: float) -> None:
        if seconds <= 0:
            raise _no_room()
        self._pool.room.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._pool.room.wait()


def _no_room() -> Overloaded:
    return Overloaded("Every wedding actor is busy.", retry_after=1.0)
