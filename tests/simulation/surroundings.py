"""What everything in a seed shares: time, chance, faults, and a record of what happened."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from contextvars import Context
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any, TypeVar

from tests.simulation.faults import Faults
from tests.simulation.loop import Process, SimLoop

T = TypeVar("T")

_NOBODY = Context()
_START = datetime(2027, 1, 1, tzinfo=UTC)
_FROZEN_SECONDS = 10.0  # longer than a lease: others take over meanwhile


class Surroundings:
    """One seed's world, as far as each of its parts may know it. A `Clock`, too."""

    def __init__(self, loop: SimLoop, chance: Random, faults: Faults) -> None:
        self.loop, self.chance, self.faults = loop, chance, faults
        self.random = chance.random
        self.database_ahead = self.processes_ahead = 0.0
        """How far clocks were moved; nobody's monotonic clock ever is."""
        self.ray_away_until = self.network_slow_until = 0.0
        self.events: list[tuple[float, str, str]] = []

    def now(self) -> datetime:
        """Return the wall clock of every process but the database's."""
        return _START + timedelta(seconds=self.loop.time() + self.processes_ahead)

    def nanoseconds(self) -> int:
        """Return the same as nanoseconds of the epoch."""
        return int(self.now().timestamp() * 1e9)

    def monotonic(self) -> float:
        """Return seconds that never go back."""
        return self.loop.time()

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await asyncio.sleep(seconds)

    async def way(self) -> None:
        """Take a message's time from one process to another."""
        seconds = self.way_seconds()
        if seconds:
            await asyncio.sleep(seconds)

    def way_seconds(self) -> float:
        """Return how long a message takes; often no time that counts."""
        dice = self.random()
        if self.loop.time() < self.network_slow_until:
            return dice * 1.5
        return dice * 0.005 if dice < 0.4 else 0.0

    async def at(self, point: str, process: Process) -> None:
        """Pass a point at which the process may die, or freeze."""
        if not self.faults.strikes(point):
            return
        dice = self.random()
        if dice < 0.5:
            self.note(process, f"dies at {point}")
            process.kill()
        elif dice < 0.7:
            self.freeze(process, point)
        else:
            self.lose_sight_of(process, point)
        await asyncio.sleep(0)

    def lose_sight_of(self, process: Process, why: str) -> None:
        """Have a process be taken for dead, and go on a little later."""
        process.lost_sight_of()
        self.freeze(process, why, 0.05 + self.random() * 0.8)

    def freeze(self, process: Process, why: str, seconds: float | None = None) -> None:
        """Stop a process, and have it go on later as if nothing had been."""
        self.note(process, f"freezes at {why}")
        process.freeze()
        self.later(self.random() * _FROZEN_SECONDS if seconds is None else seconds, process.thaw)

    def later(self, seconds: float, act: Callable[[], object]) -> asyncio.TimerHandle:
        """Have something happen to processes, by none of them."""
        return self.loop.call_later(seconds, act, context=_NOBODY)

    def note(self, process: Process | None, words: str) -> None:
        """Write down what happened."""
        self.events.append((self.loop.time(), process.name if process else "", words))

    def digest(self) -> str:
        """Return what two runs of a seed have in common, or they were not the same."""
        return hashlib.sha256(repr(self.events).encode()).hexdigest()[:16]


def succeed(reply: asyncio.Future[T], result: T) -> None:
    """Answer, if anybody still waits."""
    if not reply.done():
        reply.set_result(result)


def fail(reply: asyncio.Future[Any], error: Exception) -> None:
    """Answer with an error, if anybody still waits."""
    if not reply.done():
        reply.set_exception(error)
        reply.exception()  # whoever asked may be gone
