"""Translated changes on their way to the sync service; what it answers decides what follows."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from itertools import groupby

from services.gateway import crash_points
from services.gateway.deliver.retry import backoff
from services.gateway.onward import Onward
from services.gateway.store.activities import ActivityStore, Answer
from services.gateway.store.inbound import Activity
from wedsync import errors
from wedsync.client import SyncClient
from wedsync.model.changes import ChangeResult, Outcome
from wedsync.runtime.crash_points import reach

PER_SLOT = 25
"""Changes claimed for each wedding that can be sent some now; what waits for one wedding goes in one call."""

_APPLY_SECONDS = 10.0

_REFUSALS = (
    errors.InvalidRequest,
    errors.ChangeIdReused,
    errors.AlreadyExists,
    errors.FailedPrecondition,
)
"""What is wrong with the change itself; anything else is our own trouble and no reason to lose an edit."""


class Dispatcher:
    """Sends what `Inspector` committed, exactly as it was committed, until the sync service answers."""

    def __init__(
        self,
        *,
        store: ActivityStore,
        changes: Onward[Activity],
        sync: SyncClient,
        on_corrected: Callable[[], None],
    ) -> None:
        self._store, self._changes, self._sync, self._on_corrected = store, changes, sync, on_corrected

    async def claim(self, limit: int) -> list[list[Activity]]:
        """Claim changes that wait, one list per wedding, and backfills apart from what people do now."""
        claimed = await self._changes.claim(limit * PER_SLOT)
        return [list(group) for _, group in groupby(sorted(claimed, key=_call), key=_call)]

    async def send(self, activities: Sequence[Activity]) -> None:
        """Send one wedding's changes of one kind and record what became of each."""
        backfill, wedding_id = _call(activities[0])
        changes = [activity.change for activity in activities]
        try:
            results = await self._sync.apply_changes(
                wedding_id, changes, backfill=backfill, timeout=_APPLY_SECONDS
            )
        except errors.WedSyncError as error:
            await self._failed(activities, error)
            return
        reach(crash_points.CHANGE_ANSWERED)
        await self._resolve(map(Answer, activities, results, map(_lost, results)))

    async def _failed(self, activities: Sequence[Activity], error: errors.WedSyncError) -> None:
        if not error.retryable and len(activities) > 1:
            # One of them is the reason; alone, each meets its own fate.
            for activity in activities:
                await self.send([activity])
            return
        if not isinstance(error, _REFUSALS):
            attempts = max(activity.attempts for activity in activities)
            seconds = error.retry_after or backoff(attempts, random.random())  # noqa: S311 - jitter
            await self._store.retry(activities, seconds=seconds, reason=f"{error.reason}: {error}")
            return
        await self._resolve(
            Answer(activity, _refused(activity, error), corrected=True) for activity in activities
        )

    async def _resolve(self, answers: Iterable[Answer]) -> None:
        told = tuple(answers)
        await self._store.resolve(*told)
        if any(answer.corrected for answer in told):
            self._on_corrected()


def _call(activity: Activity) -> tuple[bool, str]:
    """Return what goes in one call: backfills come last, and never with anything else."""
    return activity.backfill, activity.wedding_id


def _refused(activity: Activity, error: errors.WedSyncError) -> ChangeResult:
    return ChangeResult(
        change_id=activity.change.change_id,
        outcome=Outcome.REJECTED,
        reason=f"{error.reason}: {error}",
    )


def _lost(result: ChangeResult) -> bool:
    """Say whether the vendor shows something now that is not the truth: then it is to be corrected."""
    refused = {Outcome.REJECTED, Outcome.SUPERSEDED}
    return result.outcome in refused or any(field.outcome in refused for field in result.fields)
