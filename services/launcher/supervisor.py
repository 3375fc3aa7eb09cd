"""Start units in parallel, keep them running, end them in order."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from services.launcher.units import Unit
from wedsync.clock import Clock, SystemClock
from wedsync.runtime.embedded.process import ChildFailed

_LOOK_SECONDS = 0.2
_STEADY_SECONDS = 30.0
"""Up for this long, a unit's earlier failures are forgotten."""


@dataclass(frozen=True, slots=True)
class Backoff:
    """How long to wait before the n-th restart in a row, and when to give up."""

    first: float = 0.2
    cap: float = 10.0
    attempts: int = 15

    def delay(self, attempt: int, chance: float) -> float:
        """Return the wait before restart number `attempt` (from 0); `chance` in [0, 1) spreads it."""
        return float(min(self.cap, self.first * 2**attempt) * (0.5 + chance / 2))


class Observer:
    """Is told what happens; this one keeps silent."""

    def starting(self, name: str) -> None:
        """Note that a unit's start began."""

    def ready(self, name: str, seconds: float) -> None:
        """Note that a unit is ready, and how long that took."""

    def died(self, name: str, wait: float) -> None:
        """Note that a unit ended by itself and is restarted after a wait."""

    def stopped(self, name: str, seconds: float) -> None:
        """Note that a unit was ended on request."""


@dataclass
class _Watched:
    """A unit under watch and its recent luck."""

    unit: Unit
    up_since: float
    failures: int = 0
    restart: asyncio.Task[None] | None = field(default=None)


class Supervisor:
    """Runs units; the one object that starts and stops processes while the system is up.

    `start` takes stages: all their units start in parallel; `stop` ends stage after stage, the last first.
    """

    def __init__(
        self,
        *,
        observer: Observer | None = None,
        clock: Clock | None = None,
        backoff: Backoff | None = None,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._observer = observer or Observer()
        self._clock = clock or SystemClock()
        self._backoff = backoff or Backoff()
        self._chance = chance
        self._stages: list[Sequence[Unit]] = []
        self._watched: list[_Watched] = []

    def pids(self) -> dict[str, int]:
        """Return the main process of every unit that runs."""
        units = (unit for stage in self._stages for unit in stage)
        return {unit.name: pid for unit in units if (pid := unit.pid) is not None}

    async def start(self, *stages: Sequence[Unit]) -> list[object]:
        """Start all units at once; return what each `start` returned, or raise the first failure."""
        self._stages.extend(stages)
        units = [unit for stage in stages for unit in stage]
        if not units:
            return []  # every server is given from outside
        starts = [asyncio.create_task(self._bring_up(unit)) for unit in units]
        try:
            # Not all of them: when one fails, nobody wants to wait for the others.
            await asyncio.wait(starts, return_when=asyncio.FIRST_EXCEPTION)
        finally:
            failed = [start for start in starts if start.done() and start.exception()]
            for start in starts:
                start.cancel()
            await asyncio.gather(*starts, return_exceptions=True)
        results = [start.result() for start in failed or starts]
        now = self._clock.monotonic()
        self._watched.extend(_Watched(unit, up_since=now) for unit in units)
        return results

    async def watch(self, restarted: Callable[[], None]) -> None:
        """Restart what dies, until cancelled; raise `ChildFailed` when a unit keeps dying."""
        try:
            while True:
                for watched in self._watched:
                    self._look_at(watched, restarted)
                await self._clock.sleep(_LOOK_SECONDS)
        finally:
            tasks = [w.restart for w in self._watched if w.restart]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def stop(self) -> None:
        """End every unit: the last stage first, the units of one stage together."""
        self._watched.clear()
        for stage in reversed(self._stages):
            await asyncio.gather(*(self._take_down(unit) for unit in stage))
        self._stages.clear()

    def _look_at(self, watched: _Watched, restarted: Callable[[], None]) -> None:
        if watched.restart and not watched.restart.done():
            return
        if watched.restart:
            watched.restart.result()
            watched.restart = None
        if watched.unit.pid is None:
            watched.restart = asyncio.create_task(self._restart(watched, restarted))

    async def _restart(self, watched: _Watched, restarted: Callable[[], None]) -> None:
        if self._clock.monotonic() - watched.up_since > _STEADY_SECONDS:
            watched.failures = 0
        while True:
            wait = self._backoff.delay(watched.failures, self._chance())
            watched.failures += 1
            self._observer.died(watched.unit.name, wait)
            await self._clock.sleep(wait)
            try:
                await self._bring_up(watched.unit)
            except ChildFailed:
                if watched.failures >= self._backoff.attempts:
                    raise
                continue
            watched.up_since = self._clock.monotonic()
            restarted()
            return

    async def _bring_up(self, unit: Unit) -> object:
        self._observer.starting(unit.name)
        begin = self._clock.monotonic()
        starting = asyncio.create_task(asyncio.to_thread(unit.start))
        try:
            result = await asyncio.shield(starting)
        except asyncio.CancelledError:
            # A thread cannot be cancelled, but what it waits for can be ended.
            await asyncio.to_thread(unit.stop)
            await asyncio.wait([starting])
            await asyncio.to_thread(unit.stop)
            raise
        self._observer.ready(unit.name, self._clock.monotonic() - begin)
        return result

    async def _take_down(self, unit: Unit) -> None:
        begin = self._clock.monotonic()
        await asyncio.to_thread(unit.stop)
        self._observer.stopped(unit.name, self._clock.monotonic() - begin)
