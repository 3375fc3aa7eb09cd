"""Work goes on to the next stage in memory, claimed as it was committed; the table keeps what cannot.

Asking a table for what has just been written to it costs more than the work does. So a stage commits what it
has for the next one as claimed already, as much as there is room for, and hands it over. The table is asked
for the rest: what there was no room for, what waits for its time, what a crash left behind. It stays the
truth: what is lost from memory is claimed again when its lease has ended.
"""

from __future__ import annotations

import heapq
import itertools
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Generic, TypeVar

from services.gateway.records import NO_OWNER, NOBODY, Busy, Owner
from services.gateway.store.sql import CLAIM_SECONDS

ROOM = 256
"""Tasks of one stage that wait in memory."""
_LATE_SECONDS = CLAIM_SECONDS / 10
"""Where something waits so long there is no room for more: the table can wait without a lease."""
_STALE_SECONDS = CLAIM_SECONDS / 2
"""What waited so long is left to whoever claims it after its lease."""

Task = TypeVar("Task")


class Onward(Generic[Task]):
    """Stands between a pump and its table.

    `claim` asks the table, `wake` the pump to claim. The table is asked every `idle_seconds`, and for so long
    after `ask` each time; `urgency` is lower for what goes first, and `owner` says whose a task is.
    """

    def __init__(
        self,
        *,
        claim: Callable[[int, Busy], Awaitable[Sequence[Task]]],
        wake: Callable[[], None],
        idle_seconds: float,
        urgency: Callable[[Task], int] = lambda _: 0,
        owner: Callable[[Task], Owner] = lambda _: NO_OWNER,
        most: int = ROOM,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._claim, self._wake, self._idle_seconds = claim, wake, idle_seconds
        self._urgency, self._owner, self._most, self._clock = urgency, owner, most, clock
        self._waiting: list[tuple[int, int, float, Task]] = []
        self._numbers = itertools.count()
        self._look_at = self._asked_until = float("-inf")
        self._late = self._favours_memory = False

    @property
    def room(self) -> int:
        """Return how many more tasks may be committed as claimed, to be put here."""
        return 0 if self._late else max(0, self._most - len(self._waiting))

    def go_on(self, committed: Sequence[Task | None]) -> None:
        """Take over what was committed as claimed; None stands for what was left to the table."""
        self.put(task for task in committed if task is not None)
        if None in committed:
            self.ask()

    def put(self, tasks: Iterable[Task]) -> None:
        """Take over what was committed as claimed."""
        now, before = self._clock(), len(self._waiting)
        for task in tasks:
            heapq.heappush(self._waiting, (self._urgency(task), next(self._numbers), now, task))
        if len(self._waiting) > before:
            self._wake()

    def ask(self) -> None:
        """Let the table be asked: something is due there."""
        self._asked_until = self._clock() + self._idle_seconds
        self._wake()

    async def claim(self, limit: int, busy: Busy = NOBODY) -> list[Task]:
        """Return at most `limit` tasks, none of the busy; where both have some, about as many of either."""
        if not self._is_due():
            return self._taken(limit, busy)
        # The odd one is of either in turn.
        self._favours_memory = not self._favours_memory
        taken = self._taken((limit + self._favours_memory) // 2, busy)
        try:
            found = await self._look(limit - len(taken), busy)
        except BaseException:
            self.put(taken)
            raise
        return [*taken, *found, *self._taken(limit - len(taken) - len(found), busy)]

    def _is_due(self) -> bool:
        return self._clock() >= self._look_at or self._clock() < self._asked_until

    async def _look(self, limit: int, busy: Busy) -> Sequence[Task]:
        if limit <= 0:
            return []
        self._look_at = self._clock() + self._idle_seconds
        found = await self._claim(limit, busy)
        if len(found) >= limit:
            self._asked_until = self._clock() + self._idle_seconds
        return found

    def _taken(self, limit: int, busy: Busy) -> list[Task]:
        taken: list[Task] = []
        passed_by: list[tuple[int, int, float, Task]] = []
        while self._waiting and len(taken) < limit:
            waiting = heapq.heappop(self._waiting)
            _, _, since, task = waiting
            waited = self._clock() - since
            if waited < _STALE_SECONDS and self._owner(task) in busy:
                passed_by.append(waiting)
                continue
            self._late = bool(self._waiting) and waited >= _LATE_SECONDS
            if waited < _STALE_SECONDS:
                taken.append(task)
        for waiting in passed_by:
            heapq.heappush(self._waiting, waiting)
        return taken
