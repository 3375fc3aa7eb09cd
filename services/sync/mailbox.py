"""What waits for one actor: one call in flight, and whatever arrives meanwhile goes together in the next.

Batching is what keeps Ray affordable (a call costs most of a millisecond of CPU), and it needs no
timer: the busier the actor, the larger its batches. The window adds a little waiting only while
calls already carry more than one submission.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from services.sync.batch import Answer, Batch, Stages
from wedsync.clock import Clock
from wedsync.errors import Overloaded
from wedsync.model.changes import Change, ChangeResult, Priority

_log = logging.getLogger(__name__)

MAX_BATCH = 500
"""Changes in one call; a larger submission goes alone."""

_RETRY_SECONDS = 0.5


class ActorLost(Exception):
    """The actor is gone, or did not answer in time; what was asked may have happened."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """What became of one submission, and when each stage ended (nanoseconds of the epoch)."""

    results: Sequence[ChangeResult]
    queued: int
    sent: int
    stages: Stages
    pid: int


@dataclass(slots=True, kw_only=True)
class _Submission:
    wedding_id: str
    changes: Sequence[Change]
    answer: asyncio.Future[Applied]
    queued: int = field(default_factory=time.time_ns)

    @property
    def urgent(self) -> bool:
        return any(change.priority is Priority.EMERGENCY for change in self.changes)


class Mailbox:
    """The submissions for one actor, in order, emergencies first."""

    def __init__(
        self,
        call: Callable[[Batch], Awaitable[Answer]],
        *,
        clock: Clock,
        limit: int = 2000,
        window: float = 0.005,
        on_idle: Callable[[], None] = lambda: None,
    ) -> None:
        self._call, self._clock, self._limit, self._window = call, clock, limit, window
        self._on_idle = on_idle
        self._urgent: deque[_Submission] = deque()
        self._waiting: deque[_Submission] = deque()
        self._release: list[str] = []
        self._size = 0
        self._busy: dict[str, int] = {}
        self._pump: asyncio.Task[None] | None = None
        self._lost: ActorLost | None = None

    def busy(self, wedding_id: str) -> bool:
        """Say whether anything of the wedding is waiting or under way."""
        return wedding_id in self._busy

    @property
    def idle(self) -> bool:
        """Whether nothing at all is waiting or under way."""
        return self._pump is None

    async def submit(self, wedding_id: str, changes: Sequence[Change]) -> Applied:
        """Have the changes applied in order.

        Raises `Overloaded` at once when the queue is full, `ActorLost`, and whatever error the owner
        met with this wedding.
        """
        submission = self._admit(wedding_id, changes)
        self._busy[wedding_id] = self._busy.get(wedding_id, 0) + 1
        try:
            return await submission.answer
        finally:
            self._busy[wedding_id] -= 1
            if not self._busy[wedding_id]:
                del self._busy[wedding_id]
                self._on_idle()

    def release(self, wedding_id: str) -> None:
        """Have the owner let go of a wedding, before anything that is submitted from now on."""
        self._release.append(wedding_id)
        self._ensure_pump()

    def close(self, lost: ActorLost) -> None:
        """Turn away whoever waits and whoever comes: the actor is gone."""
        self._lost = lost
        for submission in (*self._urgent, *self._waiting):
            _fail(submission, lost)
        self._urgent.clear()
        self._waiting.clear()
        self._size = 0

    def _admit(self, wedding_id: str, changes: Sequence[Change]) -> _Submission:
        if self._lost is not None:
            raise self._lost
        submission = _Submission(
            wedding_id=wedding_id, changes=changes, answer=asyncio.get_running_loop().create_future()
        )
        # Room is kept for emergencies: they pass when everything else is turned away.
        limit = self._limit * 2 if submission.urgent else self._limit
        if self._size + len(changes) > limit:
            raise Overloaded("Too much is waiting for this wedding's owner.", retry_after=_RETRY_SECONDS)
        self._size += len(changes)
        (self._urgent if submission.urgent else self._waiting).append(submission)
        self._ensure_pump()
        return submission

    def _ensure_pump(self) -> None:
        if self._pump is None and self._lost is None:
            self._pump = asyncio.create_task(self._run(), name="mailbox")

    async def _run(self) -> None:
        try:
            crowded = False
            while self._urgent or self._waiting or self._release:
                if crowded and not self._urgent:
                    await self._clock.sleep(self._window)
                together = self._take()
                crowded = len(together) > 1
                await self._deliver(together)
        finally:
            self._pump = None
            self._on_idle()

    def _take(self) -> list[_Submission]:
        together: list[_Submission] = []
        room = MAX_BATCH
        for queue in (self._urgent, self._waiting):
            while queue and (room >= len(queue[0].changes) or not together):
                submission = queue.popleft()
                self._size -= len(submission.changes)
                if submission.answer.done():  # its caller gave up
                    continue
                room -= len(submission.changes)
                together.append(submission)
        return together

    async def _deliver(self, together: Sequence[_Submission]) -> None:
        work: dict[str, list[Change]] = {}
        places: list[slice] = []
        for submission in together:
            changes = work.setdefault(submission.wedding_id, [])
            places.append(slice(len(changes), len(changes) + len(submission.changes)))
            changes.extend(submission.changes)
        release, self._release = self._release, []
        sent = time.time_ns()
        try:
            answer = await self._call(Batch(work=work, release=release))
        except Exception as error:  # noqa: BLE001  # logged below unless it is the one we know
            # Whatever it was, nobody else would ever answer those who wait.
            lost = error if isinstance(error, ActorLost) else ActorLost(type(error).__name__)
            if lost is not error:
                _log.exception("a call to an actor failed on our side")
            for submission in together:
                _fail(submission, lost)
            self.close(lost)
            return
        for submission, place in zip(together, places, strict=True):
            _conclude(submission, place, answer, sent)


def _conclude(submission: _Submission, place: slice, answer: Answer, sent: int) -> None:
    done = answer.done[submission.wedding_id]
    if done.error is not None:
        _fail(submission, done.error)
    elif not submission.answer.done():
        submission.answer.set_result(
            Applied(
                results=done.results[place],
                queued=submission.queued,
                sent=sent,
                stages=answer.stages,
                pid=answer.pid,
            )
        )


def _fail(submission: _Submission, error: Exception) -> None:
    if not submission.answer.done():
        submission.answer.set_exception(error)
