"""What the gateway saw of each vendor, summed up for the health service. Never on an edit's path."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

import structlog

from wedsync.clock import Clock
from wedsync.errors import WedSyncError
from wedsync.model.ids import new_id

_log = structlog.get_logger(__name__)

FLUSH_SECONDS = 2.0
MAX_KEPT = 2_000
"""Sums kept while the health service is away; beyond it the oldest are forgotten."""


class Operation(StrEnum):
    """What was tried with a vendor."""

    WEBHOOK = "webhook"
    READ = "read"
    WRITE = "write"
    CONNECT = "connect"
    MISSED_WEBHOOK = "missed_webhook"


@dataclass(slots=True, kw_only=True)
class Tally:
    """Tries of one kind with one integration since the last report."""

    observation_id: str
    integration_id: str
    organization_id: str
    vendor: str
    operation: Operation
    seen_at: datetime
    successes: int = 0
    failures: int = 0
    last_error: str = ""


class Reports(Protocol):
    """Where tallies go."""

    async def send(self, tallies: Sequence[Tally]) -> None:
        """Hand the tallies over; safe to repeat. Raises `WedSyncError`."""
        ...


class HealthReport:
    """Counts, and reports every few seconds."""

    def __init__(self, *, reports: Reports, clock: Clock) -> None:
        self._reports, self._clock = reports, clock
        self._tallies: dict[tuple[str, Operation], Tally] = {}
        self._unsent: list[Tally] = []

    def saw(
        self,
        *,
        organization_id: str,
        integration_id: str,
        vendor: str,
        operation: Operation,
        error: Exception | None = None,
    ) -> None:
        """Count one try. Of an error only its kind is kept: its text may be personal."""
        tally = self._tallies.get((integration_id, operation))
        if tally is None:
            tally = self._tallies[integration_id, operation] = Tally(
                observation_id=new_id(),
                integration_id=integration_id,
                organization_id=organization_id,
                vendor=vendor,
                operation=operation,
                seen_at=self._clock.now(),
            )
        tally.seen_at = self._clock.now()
        if error is None:
            tally.successes += 1
        else:
            tally.failures += 1
            tally.last_error = type(error).__name__

    async def run(self) -> None:
        """Report until cancelled."""
        while True:
            await self._clock.sleep(FLUSH_SECONDS)
            await self.flush()

    async def flush(self) -> None:
        """Report what was counted; what cannot be delivered is tried again with the next."""
        fresh, self._tallies = list(self._tallies.values()), {}
        self._unsent = (self._unsent + fresh)[-MAX_KEPT:]
        if not self._unsent:
            return
        try:
            await self._reports.send(self._unsent)
        except WedSyncError as error:
            _log.warning("the health service takes no reports", reason=error.reason)
            if error.retryable:
                return
            # What it refuses now it refuses for ever, and it must not hold up the reports to come.
        self._unsent = []
