"""What many ask for at the same time is done together: as a transaction for each it would cost far more.

This is group commit with the window of a loaded server: whoever asks while nobody else does is served at
once; once several ask at a time, each round waits a little so that more can join it.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar, cast

from wedsync.errors import Overloaded, WedSyncError

Asked = TypeVar("Asked")
Answer = TypeVar("Answer")

MOST_WAITING = 10_000
"""Askers that wait for a round; beyond it they are turned away."""
_WINDOW_SECONDS = 0.01
_STUCK_SECONDS = 0.05
"""A round that takes longer than this waits for something: the next does not wait for it."""
_MOST_ROUNDS = 4
_RETRY_SECONDS = 0.5


class Together(Generic[Asked, Answer]):
    """Runs what is asked for in rounds.

    `run` returns an answer for each of those who ask, in their order: an exception among the answers is
    raised to its asker. Where it raises itself nothing was done; what is no passing trouble is then
    tried for each asker alone, so that one bad request fails alone.
    """

    def __init__(
        self,
        run: Callable[[Sequence[Asked]], Awaitable[Sequence[Answer | Exception]]],
        *,
        most: int = 100,
        window: float = _WINDOW_SECONDS,
    ) -> None:
        self._run, self._most, self._window = run, most, window
        self._waiting: deque[tuple[Asked, asyncio.Future[Answer]]] = deque()
        self._workers: set[asyncio.Task[None]] = set()
        self._began = 0.0
        self._crowded = False

    async def __call__(self, asked: Asked) -> Answer:
        """Return its answer. Raises `Overloaded` at once where too many wait."""
        return await self.ask(asked)

    def ask(self, asked: Asked) -> asyncio.Future[Answer]:
        """Return where its answer will be, for whom it is enough that it was asked. Raises the same."""
        if len(self._waiting) >= MOST_WAITING:
            raise Overloaded("Too much waits for the database.", retry_after=_RETRY_SECONDS)
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting.append((asked, answer))
        if not self._workers or self._stuck():
            self._begin()
        return answer

    def _stuck(self) -> bool:
        return len(self._workers) < _MOST_ROUNDS and time.monotonic() - self._began > _STUCK_SECONDS

    def _begin(self) -> None:
        self._began = time.monotonic()
        worker = asyncio.create_task(self._work(), name="together")
        self._workers.add(worker)

    async def _work(self) -> None:
        try:
            while self._waiting:
                # Whoever asks in this turn of the loop comes along in any case.
                await asyncio.sleep(self._window if self._crowded else 0)
                await self._round(self._taken())
        finally:
            # At once, and not when the loop comes to it: whoever asks next must know that nobody works.
            self._workers.discard(cast("asyncio.Task[None]", asyncio.current_task()))

    def _taken(self) -> list[tuple[Asked, asyncio.Future[Answer]]]:
        self._began = time.monotonic()
        taken = [self._waiting.popleft() for _ in range(min(self._most, len(self._waiting)))]
        wanted = [(asked, answer) for asked, answer in taken if not answer.done()]
        self._crowded = len(wanted) > 1
        return wanted

    async def _round(self, wanted: Sequence[tuple[Asked, asyncio.Future[Answer]]]) -> None:
        if not wanted:
            return
        try:
            answers = await self._run([asked for asked, _ in wanted])
        except asyncio.CancelledError:
            for _, answer in wanted:
                answer.cancel()
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, somebody waits for it
            if len(wanted) == 1 or (isinstance(error, WedSyncError) and error.retryable):
                answers = [error] * len(wanted)
            else:
                for each in wanted:
                    await self._round([each])
                return
        for (_, answer), outcome in zip(wanted, answers, strict=True):
            _settle(answer, outcome)


def _settle(answer: asyncio.Future[Answer], outcome: Answer | Exception) -> None:
    if answer.done():  # its asker gave up
        return
    if isinstance(outcome, Exception):
        answer.set_exception(outcome)
    else:
        answer.set_result(outcome)
