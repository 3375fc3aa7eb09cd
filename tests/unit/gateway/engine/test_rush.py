"""While many wait for an answer, what was accepted waits."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

from services.gateway.records import NOBODY, Busy
from services.gateway.rush import FEW, MANY, Rush

SLOTS = 100


class Door:
    """A rush, and the table behind it, which is never empty."""

    def __init__(self) -> None:
        self.calm = 0
        self.rush = Rush(self._over)
        self._claim = self.rush.lets_by(self._any, SLOTS)

    def _over(self) -> None:
        self.calm += 1

    async def _any(self, limit: int, busy: Busy) -> Sequence[int]:
        assert busy is NOBODY
        return range(limit)

    async def claimed(self, begun: int) -> int:
        """Return how many are claimed where so many are begun already."""
        return len(await self._claim(SLOTS - begun, NOBODY))


@contextlib.contextmanager
def waiting(door: Door, count: int) -> Iterator[None]:
    """Let so many wait."""
    with contextlib.ExitStack() as stack:
        for _ in range(count):
            stack.enter_context(door.rush.one_more())
        yield


async def test_without_a_rush_every_place_is_claimed_for() -> None:
    """One fewer than many are no rush."""
    door = Door()
    with waiting(door, MANY - 1):
        assert await door.claimed(begun=0) == SLOTS
        assert await door.claimed(begun=40) == SLOTS - 40


async def test_in_a_rush_few_are_read_at_once_but_some_are() -> None:
    """What is begun goes on, and as long as it is much nothing is added."""
    door = Door()
    with waiting(door, MANY):
        assert await door.claimed(begun=0) == FEW
        assert await door.claimed(begun=FEW - 1) == 1
        assert await door.claimed(begun=FEW) == 0
        assert await door.claimed(begun=SLOTS) == 0
    assert await door.claimed(begun=0) == SLOTS


def test_the_end_of_a_rush_is_told_once() -> None:
    """Whoever reads webhooks goes on at once, also after an answer that failed."""
    door = Door()
    with waiting(door, MANY + 5):
        assert door.calm == 0
    assert door.calm == 1
    with contextlib.suppress(OSError), waiting(door, MANY):
        raise OSError
    assert (door.calm, door.rush.waiting) == (2, 0)
