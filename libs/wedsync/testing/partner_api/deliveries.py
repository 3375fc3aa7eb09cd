"""Posts events, signed, in the background and in no order; each is tried a few times under one id."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import aiohttp
import orjson

from wedsync.clock import Clock
from wedsync.model.ids import new_id
from wedsync.testing.partner_api.signing import signed

RETRY_SECONDS = (0.2, 1.0)
"""Waits before each further try of an event."""
# A receiver that never answers must not pile up tasks; what comes on top is lost, as events may be.
_MAX_UNDER_WAY = 1_000
_ANSWER_SECONDS = 5.0


class Deliveries:
    """Tells one address; without one nobody is told. `aclose` abandons what is under way."""

    def __init__(self, clock: Clock, secret: str, *, retry_seconds: Sequence[float] = RETRY_SECONDS) -> None:
        self.url = ""
        self.lost = 0
        """How many events were given up."""
        self._clock, self._secret, self._waits = clock, secret, (0.0, *retry_seconds)
        self._session: aiohttp.ClientSession | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def send(self, event: str, collection: str, record: dict[str, Any]) -> None:
        """Start telling of a write."""
        if not self.url:
            return
        if len(self._tasks) >= _MAX_UNDER_WAY:
            self.lost += 1
            return
        body = orjson.dumps({"type": event, "collection": collection, "record": record})
        task = asyncio.create_task(self._insist(self.url, body))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def aclose(self) -> None:
        """Abandon what is under way and close the connections."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        session, self._session = self._session, None
        if session:
            await session.close()

    async def _insist(self, url: str, body: bytes) -> None:
        message_id = f"msg_{new_id()}"
        for wait in self._waits:
            if wait:
                await self._clock.sleep(wait)
            if await self._post(url, message_id, body):
                return
        self.lost += 1

    async def _post(self, url: str, message_id: str, body: bytes) -> bool:
        self._session = self._session or aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=_ANSWER_SECONDS)
        )
        proof = signed(self._secret, message_id, body, at=int(self._clock.now().timestamp()))
        headers = {"content-type": "application/json", **proof}
        try:
            async with self._session.post(url, data=body, headers=headers, allow_redirects=False) as answer:
                return answer.status < 300
        except (TimeoutError, aiohttp.ClientError, ValueError):
            return False
