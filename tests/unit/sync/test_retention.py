"""Change ids grow old in the background."""

from __future__ import annotations

import asyncio

from services.sync.retention import DAYS, Retention
from wedsync.clock import FakeClock
from wedsync.errors import Unavailable


class Keys:
    """Counts what it is asked to forget."""

    def __init__(self) -> None:
        self.old, self.rounds, self.down = 12_000, 0, False

    async def forget(self, *, days: int, limit: int) -> int:
        """Forget some."""
        self.rounds += 1
        assert days == DAYS
        if self.down:
            raise Unavailable
        gone = min(limit, self.old)
        self.old -= gone
        return gone


async def settle() -> None:
    """Let everything that can run, run."""
    for _ in range(10):
        await asyncio.sleep(0)


async def test_old_ids_go_in_parts_and_then_rarely() -> None:
    """A backlog is worked off with breaths between, then there is an hour's pause; trouble ends nothing."""
    keys, clock = Keys(), FakeClock()
    retention = Retention(keys, clock, jitter=lambda: 0.5)
    retention.start()
    await settle()
    for _ in range(5):
        clock.advance(1.0)
        await settle()
    assert (keys.old, keys.rounds) == (0, 3)
    keys.down = True
    clock.advance(3600.0)
    await settle()
    assert keys.rounds == 4
    keys.down, keys.old = False, 1
    clock.advance(3600.0)
    await settle()
    assert keys.old == 0
    await retention.stop()


async def test_it_can_be_stopped_before_it_began() -> None:
    """A service whose start failed stops what it never started."""
    await Retention(Keys(), FakeClock()).stop()
