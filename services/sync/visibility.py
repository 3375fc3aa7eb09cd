"""Who was found to see which wedding just now, so that a stream of edits does not ask for each.

What is asked while an answer is awaited is asked together next: the busier the service, the less each
question costs. What is about to be forgotten while still in use is asked again beforehand, many together,
so that hardly any edit waits for that.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Protocol

from services.sync.lanes import Calendar
from wedsync.clock import Clock
from wedsync.errors import UnknownWedding

TRUSTED_SECONDS = 5.0
"""How long a membership that ended may still be used to edit."""
OWN_TRUSTED_SECONDS = 300.0
"""How long our own services, which see every wedding, go by the day that it had."""

_RENEWED_SECONDS, _SURELY_RENEWED_SECONDS = 3.0, 1.0
"""So long before its end, what is used is asked again: once enough has gathered, and in any case."""
_ENOUGH = 50
_MOST = 20_000  # about 5 MB; beyond it everything is asked again
_TOGETHER = 100

Sight = tuple[str, str | None]
"""A wedding, and the organization that wants to see it; None is a service of our own."""

Answer = asyncio.Future[Calendar]


class Members(Protocol):
    """Whoever knows."""

    async def calendars(self, asked: Sequence[Sight]) -> Mapping[Sight, Calendar]:
        """Return when those weddings take place that their viewers may see."""
        ...


class Visibility:
    """Remembers what was allowed, never what was refused."""

    def __init__(self, members: Members, clock: Clock) -> None:
        self._members, self._clock = members, clock
        self._known: dict[Sight, tuple[float, Calendar]] = {}
        self._waiting: dict[Sight, list[Answer]] = {}
        self._ageing: dict[Sight, None] = {}
        """Known, in use, and soon forgotten."""
        self._asking: asyncio.Task[None] | None = None

    async def require(self, wedding_id: str, *, viewer: str | None) -> Calendar:
        """Return when the wedding takes place, if the viewer may see it. Raises `UnknownWedding`."""
        sight = (wedding_id, viewer)
        until, calendar = self._known.get(sight, (0.0, None))
        left = until - self._clock.monotonic()
        if calendar is None or left <= 0:
            return await self._asked(sight)
        if left < _RENEWED_SECONDS:
            self._ageing[sight] = None
            if left < _SURELY_RENEWED_SECONDS or len(self._ageing) >= _ENOUGH:
                self._ensure_asking()
        return calendar

    async def _asked(self, sight: Sight) -> Calendar:
        answer: Answer = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(sight, []).append(answer)
        self._ensure_asking()
        return await answer

    def _ensure_asking(self) -> None:
        if self._asking is None:
            self._asking = asyncio.create_task(self._ask(), name="visibility")

    async def _ask(self) -> None:
        try:
            while self._waiting or self._ageing:
                together = {sight: self._waiting.pop(sight) for sight in [*islice(self._waiting, _TOGETHER)]}
                for sight in [*islice(self._ageing, _TOGETHER - len(together))]:
                    del self._ageing[sight]
                    together.setdefault(sight, [])
                await self._answer(together)
        finally:
            self._asking = None

    async def _answer(self, together: Mapping[Sight, Sequence[Answer]]) -> None:
        now = self._clock.monotonic()
        try:
            found = await self._members.calendars(list(together))
        except Exception as error:  # noqa: BLE001  # it is theirs who wait
            for answers in together.values():
                _refuse(answers, error)
            return
        if len(self._known) + len(found) > _MOST:
            self._known.clear()
        self._known |= {sight: (now + _trusted(sight), calendar) for sight, calendar in found.items()}
        for sight, answers in together.items():
            if sight in found:
                _allow(answers, found[sight])
            else:
                self._known.pop(sight, None)
                _refuse(answers, UnknownWedding())


def _trusted(sight: Sight) -> float:
    _, viewer = sight
    return OWN_TRUSTED_SECONDS if viewer is None else TRUSTED_SECONDS


def _allow(answers: Sequence[Answer], calendar: Calendar) -> None:
    for answer in answers:
        if not answer.done():
            answer.set_result(calendar)


def _refuse(answers: Sequence[Answer], error: Exception) -> None:
    for answer in answers:
        if not answer.done():
            answer.set_exception(error)
