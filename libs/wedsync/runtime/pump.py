"""One loop for all background work: claim what is due, handle it in parallel, sleep until woken.

Each claim begins a wave that goes through everything after it together. A wave of one costs most of what a
wave of ten does, so the busier the process is, the longer it waits for more to join.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

import structlog

from wedsync.clock import Clock

_log = structlog.get_logger(__name__)

IDLE_SECONDS = 1.0
"""How long a pump sleeps that nobody wakes."""
_FAILED_SECONDS = 2.0
GAP_SECONDS = 0.01
"""Between two claims of a process at rest: whoever comes after a pause waits for nobody."""
_MEASURED_SECONDS = 1.0
_QUIET, _BUSY = 0.4, 0.7
"""Shares of a core: up to the one a process is at rest, from the other on it is as busy as can be."""

Task = TypeVar("Task")


class Gap:
    """How long to leave between two claims: the busier this process was in the last second, the longer."""

    def __init__(
        self,
        longest: float,
        *,
        used: Callable[[], float] = time.process_time,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._longest, self._used, self._clock = longest, used, clock
        self._measured = clock(), used()
        self._seconds = GAP_SECONDS

    def seconds(self) -> float:
        """Return how long it is now; what was measured last holds for a second."""
        now, (since, before) = self._clock(), self._measured
        if now - since >= _MEASURED_SECONDS:
            self._measured = now, self._used()
            share = (self._measured[1] - before) / (now - since)
            busy = min(1.0, max(0.0, (share - _QUIET) / (_BUSY - _QUIET)))
            self._seconds = GAP_SECONDS + busy * (self._longest - GAP_SECONDS)
        return self._seconds


class Pump(Generic[Task]):
    """Claims tasks and handles at most `slots` of them at once.

    The table is the truth: a wake-up only shortens the wait, and a task whose handler failed stays
    claimed until its lease ends, then somebody claims it again.
    """

    def __init__(
        self,
        name: str,
        *,
        claim: Callable[[int], Awaitable[Sequence[Task]]],
        handle: Callable[[Task], Awaitable[None]],
        slots: int,
        clock: Clock,
        idle_seconds: float = IDLE_SECONDS,
        longest_gap: float = GAP_SECONDS,
    ) -> None:
        self.name, self._claim, self._handle = name, claim, handle
        self._slots, self._clock, self._idle_seconds = slots, clock, idle_seconds
        self._slot = asyncio.Semaphore(slots)
        self._wake = asyncio.Event()
        self._running: set[asyncio.Task[None]] = set()
        self._between = Gap(longest_gap)
        self._claimed_at = float("-inf")

    def wake(self) -> None:
        """Something may be due now."""
        self._wake.set()

    async def run(self) -> None:
        """Work until cancelled; what is being handled then may finish (see `drain`)."""
        while True:
            await self._gap()
            self._wake.clear()
            free = self._slots - len(self._running)
            tasks = await self._claimed(free) if free > 0 else []
            for task in tasks:
                self._start(task)
            if not tasks or len(self._running) >= self._slots:
                await self._pause()

    async def drain(self, seconds: float) -> None:
        """Let what is being handled finish, but no longer than this."""
        if self._running:
            _, late = await asyncio.wait(self._running, timeout=seconds)
            for task in late:
                task.cancel()

    async def _claimed(self, free: int) -> Sequence[Task]:
        try:
            return await self._claim(free)
        except Exception:  # noqa: BLE001 - the loop outlives whatever goes wrong in one round
            _log.exception("cannot claim work", pump=self.name)
            await self._clock.sleep(_FAILED_SECONDS * (0.5 + random.random()))  # noqa: S311 - jitter
            return []

    def _start(self, task: Task) -> None:
        running = asyncio.create_task(self._guarded(task), name=f"{self.name} task")
        self._running.add(running)
        running.add_done_callback(self._finished)

    def _finished(self, running: asyncio.Task[None]) -> None:
        self._running.discard(running)
        self._wake.set()

    async def _guarded(self, task: Task) -> None:
        try:
            # A claim may return more tasks than slots were free: the rest wait for theirs.
            async with self._slot:
                await self._handle(task)
        except Exception:  # noqa: BLE001 - one bad task waits for its lease to end; the others go on
            _log.exception("a task failed", pump=self.name)

    async def _gap(self) -> None:
        """Let what comes at the same time be claimed together; after a pause nobody waits."""
        loop = asyncio.get_running_loop()
        await asyncio.sleep(max(0.0, self._claimed_at + self._between.seconds() - loop.time()))
        self._claimed_at = loop.time()

    async def _pause(self) -> None:
        try:
            async with asyncio.timeout(self._idle_seconds):
                await self._wake.wait()
        except TimeoutError:
            return
