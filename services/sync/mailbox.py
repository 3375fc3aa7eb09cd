"""What waits for one actor: one call in flight, and whatever arrives meanwhile goes together in the next.

Batching is what keeps calls affordable (each costs a commit), and it needs no
timer: the busier the actor, the larger its batches. The window adds a little waiting only while
calls already carry more than one submission.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field

from services.sync.batch import Answer, Batch, Stages
from services.sync.lanes import LANES, LaneQueue
from wedsync.clock import Clock
from wedsync.errors import DeadlineExceeded, Overloaded
from wedsync.model.changes import Change, ChangeResult, Priority

_log = logging.getLogger(__name__)

MAX_BATCH = 500
"""Changes in one call; a larger submission goes alone."""

LOADING_COST = 15
"""What loading a wedding costs, in changes: a call loads some thirty, for an emergency may wait behind it."""

NEVER = float("inf")

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
    until: float
    answer: asyncio.Future[Applied]
    queued: int = field(default_factory=time.time_ns)


def lane(changes: Iterable[Change]) -> Priority:
    """Return the lane of changes that stay together: the most urgent one's."""
    return min((change.priority for change in changes), key=LANES.index)


class Mailbox:
    """The submissions for one actor: in lanes, and in order within each organization's turn."""

    def __init__(
        self,
        call: Callable[[Batch], Awaitable[Answer]],
        *,
        clock: Clock,
        limit: int = 2000,
        window: float = 0.005,
        adopt: bool = True,
        on_idle: Callable[[], None] = lambda: None,
    ) -> None:
        self._call, self._clock, self._window = call, clock, window
        self._adopt, self._on_idle = adopt, on_idle
        self._waiting: LaneQueue[_Submission] = LaneQueue(limit)
        self._release: list[str] = []
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

    async def submit(
        self, wedding_id: str, changes: Sequence[Change], *, until: float = NEVER, loading: bool = False
    ) -> Applied:
        """Have the changes applied in order, or not at all once the clock's seconds reached `until`.

        `loading` says that the owner will have to load the wedding first. Raises `Overloaded` at once
        when the queue is full, `DeadlineExceeded`, `ActorLost`, and whatever error the owner met with
        this wedding.
        """
        submission = self._admit(wedding_id, changes, until, LOADING_COST if loading else 0)
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
        for submission in self._waiting.drain():
            _fail(submission, lost)

    def _admit(self, wedding_id: str, changes: Sequence[Change], until: float, extra: int) -> _Submission:
        if self._lost is not None:
            raise self._lost
        answer: asyncio.Future[Applied] = asyncio.get_running_loop().create_future()
        submission = _Submission(wedding_id=wedding_id, changes=changes, until=until, answer=answer)
        party, cost = changes[0].source.organization_id, len(changes) + extra
        if not self._waiting.put(submission, lane=lane(changes), party=party, cost=cost):
            raise Overloaded("Too much is waiting for this wedding's owner.", retry_after=_RETRY_SECONDS)
        self._ensure_pump()
        return submission

    def _ensure_pump(self) -> None:
        if self._pump is None and self._lost is None:
            self._pump = asyncio.create_task(self._run(), name="mailbox")

    async def _run(self) -> None:
        try:
            crowded = False
            while self._waiting or self._release:
                if crowded and not self._waiting.urgent:
                    await self._clock.sleep(self._window)
                together = [s for s in self._waiting.take(MAX_BATCH) if self._still_wanted(s)]
                crowded = len(together) > 1
                if together or self._release:
                    await self._deliver(together)
        finally:
            self._pump = None
            self._on_idle()

    def _still_wanted(self, submission: _Submission) -> bool:
        if submission.until <= self._clock.monotonic():
            _fail(
                submission, DeadlineExceeded("It waited too long for the wedding's owner; nothing was done.")
            )
        return not submission.answer.done()  # else its caller gave up

    async def _deliver(self, together: Sequence[_Submission]) -> None:
        work: dict[str, list[Change]] = {}
        places: list[slice] = []
        for submission in together:
            changes = work.setdefault(submission.wedding_id, [])
            places.append(slice(len(changes), len(changes) + len(submission.changes)))
            changes.extend(submission.changes)
        release, self._release = self._release, []
        seconds = max((s.until for s in together), default=NEVER) - self._clock.monotonic()
        sent = time.time_ns()
        try:
            answer = await self._call(Batch(work=work, release=release, seconds=seconds, adopt=self._adopt))
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
