"""Facts leave here after the commit: at once where that works, by the sweep where it does not.

The row in Postgres is the truth, and goes only when its receiver has answered. What is queued in
memory is a short cut: it is bounded, and forgotten whenever something goes wrong.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Protocol

from services.sync.facts import Destination, Fact
from services.sync.lanes import LaneQueue
from services.sync.records import Claim
from wedsync.clock import Clock
from wedsync.errors import WedSyncError
from wedsync.runtime.metrics import observe_stage
from wedsync.runtime.telemetry import Telemetry

_log = logging.getLogger(__name__)

BATCH = 200
_PACE_SECONDS = 0.01
"""Between two calls, unless there is enough for a full one: a call costs more than ten facts."""
_QUEUED = 2000  # in each lane, some 4 MB; what comes beyond it waits for the sweep
_REMOVED_TOGETHER = 1000
_REMOVAL_SECONDS = 0.2  # much less than the head start of the short cut
_CLAIM_SECONDS = 30.0  # longer than a hand-over may take with all of its retries
_SWEEP_SECONDS, _LONGEST_PAUSE = 0.5, 3.0
_STOP_SECONDS = 2.0
_FIRST_DELAY = 0.5
_LONGEST_DELAY, _LONGEST_REFUSED_DELAY = 10.0, 300.0

Deliver = Callable[[Sequence[Fact]], Awaitable[None]]
"""Hands facts over; returning means that the receiver has written them down."""


class FactStore(Protocol):
    """What a courier needs of the outbox table."""

    async def claim(self, destination: Destination, *, limit: int, seconds: float) -> list[Claim]:
        """Take due facts, which nobody else gets for some seconds."""
        ...

    async def load(self, claims: Sequence[Claim]) -> list[Fact]:
        """Return the claimed facts that are still there."""
        ...

    async def remove(self, facts: Sequence[Fact]) -> None:
        """Forget facts that were handed over."""
        ...

    async def postpone(self, claims: Sequence[Claim], *, seconds: float) -> None:
        """Give claimed facts back, to be tried again later."""
        ...


class Courier:
    """Hands the facts of one destination over."""

    def __init__(
        self,
        destination: Destination,
        *,
        store: FactStore,
        deliver: Deliver,
        telemetry: Telemetry,
        clock: Clock,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._destination, self._store, self._deliver = destination, store, deliver
        self._telemetry, self._clock, self._jitter = telemetry, clock, jitter
        self._queue: LaneQueue[Fact] = LaneQueue(_QUEUED)
        self._fresh = asyncio.Event()
        self._handed: list[Fact] = []
        """Handed over, and still in the table."""
        self.failures = 0
        """In a row. While there are any, the short cut stays closed."""

    def offer(self, facts: Iterable[Fact]) -> None:
        """Take facts that were committed just now; any may be dropped, the sweep finds them."""
        if not self.failures:
            for fact in facts:
                self._queue.put(fact, lane=fact.priority, party=fact.wedding_id)
            self._fresh.set()

    async def run_direct(self) -> None:
        """Hand over what is offered, for ever: the first at once, what comes soon after it together."""
        next_call = 0.0
        while True:
            await self._fresh.wait()
            self._fresh.clear()
            while self._queue:
                await self._wait_for_company(next_call - self._clock.monotonic())
                next_call = self._clock.monotonic() + _PACE_SECONDS
                await self._hand_over_queued()

    async def run_removal(self) -> None:
        """Remove what was handed over, for ever; many together, as one alone costs no less."""
        while True:
            await self._clock.sleep(_REMOVAL_SECONDS)
            await self.remove()

    async def remove(self) -> None:
        """Remove what was handed over; what cannot be removed now is handed over again by the sweep."""
        while self._handed:
            together, self._handed = self._handed[:_REMOVED_TOGETHER], self._handed[_REMOVED_TOGETHER:]
            try:
                await self._store.remove(together)
            except WedSyncError as error:
                _log.warning("%d facts stay in the outbox: %s", len(together), error.reason)

    async def run_sweep(self) -> None:
        """Hand over what is due in the outbox, for ever."""
        while True:
            more = await self._sweep_safely()
            if not more:
                await self._clock.sleep(self._pause() * (0.5 + self._jitter()))

    async def sweep(self) -> bool:
        """Hand over one batch of what is due; say whether there may be more."""
        claims = await self._store.claim(self._destination, limit=BATCH, seconds=_CLAIM_SECONDS)
        if not claims:
            return False
        facts = await self._store.load(claims)
        refused = await self._hand_over_claimed(claims, facts) if facts else False
        return len(claims) == BATCH and not self.failures and not refused

    async def _wait_for_company(self, seconds: float) -> None:
        if seconds > 0 and len(self._queue) < BATCH and not self._queue.urgent:
            await self._clock.sleep(seconds)

    async def _hand_over_queued(self) -> None:
        facts = self._queue.take(BATCH)
        try:
            await self._hand_over(facts)
        except WedSyncError as error:
            self._queue = LaneQueue(_QUEUED)
            self._note(error)

    async def _sweep_safely(self) -> bool:
        try:
            return await self.sweep()
        except WedSyncError as error:  # the database: nothing can be claimed now
            self._note(error)
            return False

    async def _hand_over_claimed(self, claims: Sequence[Claim], facts: Sequence[Fact]) -> bool:
        """Say whether anything was refused."""
        try:
            await self._hand_over(facts)
        except WedSyncError as error:
            if error.retryable:
                self._note(error)
                await self._postpone(claims, _LONGEST_DELAY)
            elif len(facts) > 1:
                # One bad fact must not hold the others up.
                by_id = {claim.fact_id: claim for claim in claims}
                for fact in facts:
                    await self._hand_over_claimed([by_id[fact.fact_id]], [fact])
            else:
                _log.error("%s refuses a fact (%s); it is tried again later", self._destination, error.reason)
                await self._postpone(claims, _LONGEST_REFUSED_DELAY)
            return True
        return False

    async def _hand_over(self, facts: Sequence[Fact]) -> None:
        start = time.time_ns()
        await self._deliver_safely(facts)
        end = time.time_ns()
        self.failures = 0
        self._handed += facts
        if len(self._handed) > _REMOVED_TOGETHER:
            await self.remove()  # it bounds what waits for that
        # The batch is one physical act; each fact has a span of it in its own trace.
        attributes = {"wedsync.destination": self._destination.value, "wedsync.batch_size": len(facts)}
        for fact in facts:
            self._telemetry.record("hand over", fact.trace_parent, start, end, attributes)
            waited = end / 1e9 - fact.committed_at.timestamp() if fact.committed_at else 0.0
            observe_stage(
                "sync", f"handover_{self._destination.value}", waited, traceparent=fact.trace_parent
            )

    async def _deliver_safely(self, facts: Sequence[Fact]) -> None:
        try:
            await self._deliver(facts)
        except WedSyncError:
            raise
        except Exception as error:
            # A fact we cannot even put into words must not end the courier.
            _log.exception("facts for %s could not be sent", self._destination)
            raise WedSyncError from error

    async def _postpone(self, claims: Sequence[Claim], longest: float) -> None:
        tries = max(claim.attempts for claim in claims)
        delay = min(longest, _FIRST_DELAY * 2.0 ** min(tries, 12))
        await self._store.postpone(claims, seconds=delay * (0.5 + self._jitter() / 2))

    def _pause(self) -> float:
        return min(_LONGEST_PAUSE, _SWEEP_SECONDS * 2.0 ** min(self.failures, 4))

    def _note(self, error: WedSyncError) -> None:
        if not self.failures:
            _log.warning("facts for %s wait in the outbox: %s", self._destination, error.reason)
        self.failures += 1


class Outbox:
    """The couriers of all destinations."""

    def __init__(self, couriers: Mapping[Destination, Courier]) -> None:
        self._couriers = couriers
        self._tasks: list[asyncio.Task[None]] = []

    def offer(self, facts: Iterable[Fact]) -> None:
        """Take facts that were committed just now."""
        for fact in facts:
            self._couriers[fact.destination].offer([fact])

    def start(self) -> None:
        """Begin to hand over, in the background."""
        self._tasks = [
            asyncio.create_task(work(), name=f"outbox-{destination}")
            for destination, courier in self._couriers.items()
            for work in (courier.run_direct, courier.run_sweep, courier.run_removal)
        ]

    async def stop(self) -> None:
        """Stop; what was not handed over is in the database."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_STOP_SECONDS):
                await asyncio.gather(*(courier.remove() for courier in self._couriers.values()))
