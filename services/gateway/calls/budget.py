"""One account's budget of calls: waiting for a turn, but not for long."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Self

from services.gateway.calls.lanes import TERMS, current_lane, places
from services.gateway.calls.lessons import lesson
from services.gateway.vendor_http import Response
from services.gateway.vendors.manifest import Manifest
from services.gateway.vendors.port import BudgetSpent
from services.gateway.vendors.rate_limit import RateLimit
from wedsync.clock import Clock
from wedsync.model.changes import Priority
from wedsync.runtime.limiter import Allowance, Granted, Lesson, Limiter, Terms, Wait

MAX_WAIT_SECONDS = 2.0
"""A call that would wait longer is not made: whoever wanted it comes back, and blocks nobody meanwhile."""
_LEAST_BURST = 2.0


@dataclass(slots=True)
class Turn:
    """One call's turn; what was answered within it is learned from."""

    response: Response | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """What one account may ask of its vendor."""

    limiter: Limiter
    clock: Clock
    rule: RateLimit
    allowance: Allowance

    @classmethod
    def of(cls, integration_id: str, manifest: Manifest, limiter: Limiter, clock: Clock) -> Self:
        """Return the budget that a vendor's manifest gives to one account."""
        rule = manifest.rate_limit
        allowance = Allowance(
            name=integration_id,
            per_second=rule.requests_per_second,
            burst=max(_LEAST_BURST, rule.requests_per_second),
            at_once=rule.concurrency,
            hold_seconds=manifest.timeout_seconds + 5,
        )
        return cls(limiter=limiter, clock=clock, rule=rule, allowance=allowance)

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[Turn]:
        """Wait for a turn. Raises `BudgetSpent` with the time to come back."""
        granted, turn = await self._granted(), Turn()
        try:
            yield turn
        finally:
            now = self.clock.now()
            learned = lesson(self.rule, turn.response, now) if turn.response else Lesson()
            await self.limiter.leave(granted, learned)

    async def _granted(self) -> Granted:
        lane, started, waited = current_lane(), self.clock.monotonic(), 0.0
        while True:
            answer = await self.limiter.enter(self.allowance, self._terms(lane, waited))
            if isinstance(answer, Granted):
                return answer
            if waited + answer.seconds > MAX_WAIT_SECONDS:
                raise _spent(answer)
            await self.clock.sleep(answer.seconds + 0.02 * random.random())  # noqa: S311 - jitter
            waited = self.clock.monotonic() - started

    def _terms(self, lane: Priority, waited: float) -> Terms:
        # Whoever waits leaves less and less to others, so that nobody waits for ever.
        terms = TERMS[lane]
        patience = max(0.0, 1 - waited / MAX_WAIT_SECONDS)
        return replace(terms, reserve=terms.reserve * patience, at_once=places(lane, self.rule.concurrency))


def _spent(answer: Wait) -> BudgetSpent:
    return BudgetSpent("the vendor allows no more calls just now", retry_after=answer.seconds)
