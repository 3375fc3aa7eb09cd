"""Carries into the wedding what is to be done about a conflict: at least once, in order, with an end."""

from __future__ import annotations

import random

import structlog

from services.conflicts.acts import Act, Due, changes_of
from services.conflicts.store.acts import ActStore
from services.conflicts.store.conflicts import ConflictsStore
from wedsync import errors
from wedsync.client import SyncClient
from wedsync.model.changes import ChangeResult, Outcome
from wedsync.runtime.telemetry import Telemetry

_log = structlog.get_logger(__name__)

MAX_ATTEMPTS = 2_000
"""With the longest wait between them, more than a day."""
_FIRST_SECONDS, _LONGEST_SECONDS = 0.5, 60.0
_CALL_SECONDS = 10.0
_PASSING = (
    errors.Unavailable,
    errors.Overloaded,
    errors.DeadlineExceeded,
    errors.NotOwner,
    errors.WeddingPaused,
)


class Courier:
    """Does what is due, one act after the other."""

    def __init__(
        self, *, acts: ActStore, conflicts: ConflictsStore, sync: SyncClient, telemetry: Telemetry
    ) -> None:
        self._acts, self._conflicts = acts, conflicts
        self._sync, self._telemetry = sync, telemetry

    async def carry(self, due: Due) -> None:
        """Do one act; try again later what may pass, park what will not."""
        try:
            results = await self._apply(due)
        except _PASSING as error:
            await self._failed(due, error)
        except errors.WedSyncError as error:
            await self._park(due, str(error))
        else:
            await self._done(due, results)

    async def _apply(self, due: Due) -> list[ChangeResult]:
        conflict = await self._conflicts.get(due.organization_ids, due.conflict_id)
        with self._telemetry.span(f"conflict {due.act}", new_trace=True) as span:
            changes = changes_of(due.act, conflict, span.traceparent)
            if not changes:
                return []
            wedding_id = conflict.collision.wedding_id
            return await self._sync.apply_changes(wedding_id, changes, on_behalf=True, timeout=_CALL_SECONDS)

    async def _done(self, due: Due, results: list[ChangeResult]) -> None:
        refused = [result.reason for result in results if result.outcome is Outcome.REJECTED]
        # A message that was never made, or that people deleted, needs no last word.
        if refused and due.act is not Act.CONCLUDE:
            await self._park(due, refused[0])
        else:
            await self._acts.close(due, reason=refused[0] if refused else "")

    async def _failed(self, due: Due, error: errors.WedSyncError) -> None:
        if due.attempts >= MAX_ATTEMPTS:
            await self._park(due, f"{error} Gave up after {due.attempts} tries.")
            return
        longest = min(_LONGEST_SECONDS, _FIRST_SECONDS * 2 ** min(due.attempts, 10))
        seconds = max(longest * (0.5 + random.random() / 2), error.retry_after or 0.0)  # noqa: S311 - jitter
        await self._acts.later(due, seconds=seconds, reason=str(error))

    async def _park(self, due: Due, reason: str) -> None:
        _log.error("an act about a conflict is parked", conflict=due.conflict_id, act=due.act, reason=reason)
        await self._acts.close(due, reason=reason, parked=True)
