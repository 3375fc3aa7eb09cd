"""Webhooks arrive one by one and are committed together: as many per transaction as wait meanwhile."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from services.gateway import crash_points
from services.gateway.onward import Onward
from services.gateway.store.inbound import Arrival, InboundStore, Received
from wedsync.errors import Overloaded, Unavailable
from wedsync.runtime.crash_points import reach

MAX_WAITING = 2_000
"""Webhooks waiting for their commit; beyond it the vendor is asked to come back."""
MAX_BATCH = 250
_RETRY_SECONDS = 1.0


class Arrivals:
    """Group commit without a timer: what arrives during one commit goes with the next."""

    def __init__(self, *, store: InboundStore, onward: Onward[Received]) -> None:
        self._store, self._onward = store, onward
        self._waiting: asyncio.Queue[tuple[Arrival, asyncio.Future[str]]] = asyncio.Queue(MAX_WAITING)

    async def accept(self, arrival: Arrival) -> str:
        """Return once the webhook is safe: the id its delivery is known by, its own if it is new.

        Raises `Overloaded` or `Unavailable` if it is not: then the vendor must send it again.
        """
        done: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        try:
            self._waiting.put_nowait((arrival, done))
        except asyncio.QueueFull:
            raise Overloaded("Too many webhooks wait.", retry_after=_RETRY_SECONDS) from None
        return await done

    async def run(self) -> None:
        """Commit what waits, until cancelled; whoever waits then is told to come back."""
        try:
            while True:
                await self._commit([await self._waiting.get(), *self._more()])
        finally:
            while waiting := self._more():
                self._refuse(waiting)

    def _more(self) -> list[tuple[Arrival, asyncio.Future[str]]]:
        taken: list[tuple[Arrival, asyncio.Future[str]]] = []
        with suppress(asyncio.QueueEmpty):
            while len(taken) < MAX_BATCH - 1:
                taken.append(self._waiting.get_nowait())
        return taken

    async def _commit(self, batch: list[tuple[Arrival, asyncio.Future[str]]]) -> None:
        try:
            kept = await self._store.accept([arrival for arrival, _ in batch], room=self._onward.room)
        except Exception as error:  # noqa: BLE001 - whatever it was, nothing of the batch is safe
            refusal = Unavailable("The webhook could not be stored.", retry_after=_RETRY_SECONDS)
            for _, done in batch:
                _fail(done, refusal, error)
            return
        except asyncio.CancelledError:
            self._refuse(batch)
            raise
        reach(crash_points.WEBHOOK_STORED)
        for (_, done), each in zip(batch, kept, strict=True):
            if not done.done():
                done.set_result(each.known_as)
        self._onward.go_on([each.taken for each in kept])

    def _refuse(self, batch: list[tuple[Arrival, asyncio.Future[str]]]) -> None:
        for _, done in batch:
            _fail(done, Unavailable("The gateway is shutting down.", retry_after=_RETRY_SECONDS), None)


def _fail(done: asyncio.Future[str], error: Unavailable, cause: Exception | None) -> None:
    if not done.done():
        error.__cause__ = cause
        done.set_exception(error)
