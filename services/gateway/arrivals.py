"""Webhooks arrive one by one and are committed together: as many per transaction as wait meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

from services.gateway.store.inbound import Arrival, InboundStore
from wedsync.errors import Overloaded, Unavailable

MAX_WAITING = 2_000
"""Webhooks waiting for their commit; beyond it the vendor is asked to come back."""
MAX_BATCH = 250
_RETRY_SECONDS = 1.0


class Arrivals:
    """Group commit without a timer: what arrives during one commit goes with the next."""

    def __init__(self, *, store: InboundStore, on_accepted: Callable[[], None]) -> None:
        self._store, self._on_accepted = store, on_accepted
        self._waiting: asyncio.Queue[tuple[Arrival, asyncio.Future[bool]]] = asyncio.Queue(MAX_WAITING)

    async def accept(self, arrival: Arrival) -> bool:
        """Return once the webhook is safe; False if its delivery was known already.

        Raises `Overloaded` or `Unavailable` if it is not: then the vendor must send it again.
        """
        done: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
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

    def _more(self) -> list[tuple[Arrival, asyncio.Future[bool]]]:
        taken: list[tuple[Arrival, asyncio.Future[bool]]] = []
        with suppress(asyncio.QueueEmpty):
            while len(taken) < MAX_BATCH - 1:
                taken.append(self._waiting.get_nowait())
        return taken

    async def _commit(self, batch: list[tuple[Arrival, asyncio.Future[bool]]]) -> None:
        try:
            fresh = await self._store.accept([arrival for arrival, _ in batch])
        except Exception as error:  # noqa: BLE001 - whatever it was, nothing of the batch is safe
            refusal = Unavailable("The webhook could not be stored.", retry_after=_RETRY_SECONDS)
            for _, done in batch:
                _fail(done, refusal, error)
            return
        except asyncio.CancelledError:
            self._refuse(batch)
            raise
        for (_, done), accepted in zip(batch, fresh, strict=True):
            if not done.done():
                done.set_result(accepted)
        self._on_accepted()

    def _refuse(self, batch: list[tuple[Arrival, asyncio.Future[bool]]]) -> None:
        for _, done in batch:
            _fail(done, Unavailable("The gateway is shutting down.", retry_after=_RETRY_SECONDS), None)


def _fail(done: asyncio.Future[bool], error: Unavailable, cause: Exception | None) -> None:
    if not done.done():
        error.__cause__ = cause
        done.set_exception(error)
