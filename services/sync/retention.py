"""Change ids are kept for 30 days, longer than any vendor or caller repeats one, and then forgotten."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from typing import Protocol

from wedsync.clock import Clock
from wedsync.errors import WedSyncError

_log = logging.getLogger(__name__)

DAYS = 30
_BATCH = 5_000
"""In one transaction: a second of work at most, and no long lock."""
_PAUSE_SECONDS = 3600.0
_BREATH_SECONDS = 1.0


class OldKeys(Protocol):
    """Where the change ids are."""

    async def forget(self, *, days: int, limit: int) -> int:
        """Forget some of the ids that are older than this; return how many."""
        ...


class Retention:
    """Forgets in the background; several servers may do so at once."""

    def __init__(self, keys: OldKeys, clock: Clock, jitter: Callable[[], float] = random.random) -> None:
        self._keys, self._clock, self._jitter = keys, clock, jitter
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin."""
        self._task = asyncio.create_task(self._run(), name="retention")

    async def stop(self) -> None:
        """Stop."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            seconds = _PAUSE_SECONDS if await self._forget_some() < _BATCH else _BREATH_SECONDS
            await self._clock.sleep(seconds * (0.5 + self._jitter()))

    async def _forget_some(self) -> int:
        try:
            return await self._keys.forget(days=DAYS, limit=_BATCH)
        except WedSyncError as error:
            _log.warning("old change ids could not be forgotten: %s", error.reason)
            return 0
