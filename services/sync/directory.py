"""Which actor owns a wedding: placement, passivation, and another try where an owner was lost.

`dedicated` and `shared` placement are the same code, with room for one wedding in an actor or for many.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Callable, Sequence

from services.sync.mailbox import ActorLost, Applied
from services.sync.pool import Placement, Pool, Slot
from wedsync.clock import Clock
from wedsync.errors import NotOwner, Overloaded, Unavailable, WedSyncError
from wedsync.model.changes import Change

_FIRST_PAUSE, _LONGEST_PAUSE = 0.02, 1.0
_MAX_TRIES = 40
_ROOM_SECONDS = 2.0
_MAX_WAITING_FOR_ROOM = 200


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
        self._waiting_for_room = 0

    async def apply(self, wedding_id: str, changes: Sequence[Change]) -> Applied:
        """Have the wedding's owner apply the changes.

        Raises what the owner met, `Overloaded` where neither an actor nor a place in its queue is
        free, and `Unavailable` or `NotOwner` where no owner was found in time.
        """
        until = self._clock.monotonic() + self._placement.patience_seconds
        tries = 0
        while True:
            try:
                return await self._try(wedding_id, changes)
            except Unavailable as error:
                tries += 1
                pause = self._pause(tries, error.retry_after)
                if tries >= _MAX_TRIES or self._clock.monotonic() + pause > until:
                    raise
                await self._clock.sleep(pause)

    async def _try(self, wedding_id: str, changes: Sequence[Change]) -> Applied:
        slot = await self._slot_of(wedding_id)
        slot.weddings[wedding_id] = self._clock.monotonic()
        try:
            return await slot.mailbox.submit(wedding_id, changes)
        except ActorLost as lost:
            slot.weddings.pop(wedding_id, None)
            raise Unavailable(f"The wedding's actor was lost: {lost}.", retry_after=0.0) from lost
        except WedSyncError as error:
            if isinstance(error, NotOwner) or not error.retryable:
                # Nothing is held there: somebody else owns it, or there is no such wedding.
                slot.weddings.pop(wedding_id, None)
                self._pool.room.set()
            raise

    def _pause(self, tries: int, asked: float | None) -> float:
        ceiling = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2.0 ** min(tries - 1, 8))
        return (asked or 0.0) + ceiling * (0.5 + self._jitter() / 2)

    async def _slot_of(self, wedding_id: str) -> Slot:
        until = self._clock.monotonic() + _ROOM_SECONDS
        while (slot := self._find(wedding_id) or self._free() or self._passivate_one()) is None:
            await self._wait_for_room(until - self._clock.monotonic())
        if not slot.weddings:
            self._pool.look_at_demand()
        return slot

    def _find(self, wedding_id: str) -> Slot | None:
        return next((slot for slot in self._pool.slots if wedding_id in slot.weddings), None)

    def _free(self) -> Slot | None:
        roomy = [slot for slot in self._pool.slots if len(slot.weddings) < self._placement.capacity]
        return min(roomy, key=lambda slot: len(slot.weddings), default=None)

    def _passivate_one(self) -> Slot | None:
        """Take the least recently used wedding's place; None while all of them are busy."""
        quiet = [
            (used, slot, wedding_id)
            for slot in self._pool.slots
            for wedding_id, used in slot.weddings.items()
            if not slot.mailbox.busy(wedding_id)
        ]
        if not quiet:
            return None
        _, slot, wedding_id = min(quiet, key=lambda place: place[0])
        del slot.weddings[wedding_id]
        slot.mailbox.release(wedding_id)
        return slot

    async def _wait_for_room(self, seconds: float) -> None:
        if seconds <= 0 or self._waiting_for_room >= _MAX_WAITING_FOR_ROOM:
            raise Overloaded("Every wedding actor is busy.", retry_after=1.0)
        self._waiting_for_room += 1
        self._pool.room.clear()
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._pool.room.wait()
        finally:
            self._waiting_for_room -= 1
