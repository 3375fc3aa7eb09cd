"""Posts notifications to subscribers, and tries their addresses out."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Sequence
from urllib.parse import quote_plus

import aiohttp
from yarl import URL

from wedsync.clock import Clock
from wedsync.testing.outlook.shape import Json

RETRY_SECONDS = (0.5, 2.0)
"""The waits before further tries; Outlook itself goes on for four hours."""
# A subscriber that never answers must not pile up tasks; what comes on top is lost, as notifications may be.
_MAX_UNDER_WAY = 500


class Notifier:
    """Posts in the background, in no order; `aclose` abandons what is under way."""

    def __init__(
        self, clock: Clock, *, retry_seconds: Sequence[float] = RETRY_SECONDS, answer_seconds: float = 10.0
    ) -> None:
        self.lost = 0
        """The notifications that were given up."""
        self._clock, self._waits = clock, (0.0, *retry_seconds)
        self._timeout = aiohttp.ClientTimeout(total=answer_seconds)
        self._session: aiohttp.ClientSession | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def answers(self, address: str) -> bool:
        """Say whether the address gives a token back as it should: decoded, alone, as plain text."""
        token = f"Validation: {secrets.token_urlsafe(12)} 1+1=2 50%"
        target = f"{address}{'&' if '?' in address else '?'}validationToken={quote_plus(token)}"
        try:
            async with self._opened().post(
                URL(target, encoded=True),
                data=b"",
                headers={"Content-Type": "text/plain; charset=utf-8"},
                timeout=self._timeout,
                allow_redirects=False,
            ) as answer:
                given = await answer.read()
                return (answer.status, answer.content_type, given) == (200, "text/plain", token.encode())
        except (aiohttp.ClientError, TimeoutError, ValueError):
            return False

    def send(self, address: str, items: Sequence[Json]) -> None:
        """Start telling a subscriber."""
        if len(self._tasks) < _MAX_UNDER_WAY:
            task = asyncio.create_task(self._insist(address, {"value": list(items)}))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def settled(self) -> None:
        """Wait until nothing is under way."""
        while self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def aclose(self) -> None:
        """Abandon what is under way and close the connections."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        session, self._session = self._session, None
        if session:
            await session.close()

    async def _insist(self, address: str, body: Json) -> None:
        for wait in self._waits:
            if wait:
                await self._clock.sleep(wait)
            if await self._taken(address, body):
                return
        self.lost += 1

    async def _taken(self, address: str, body: Json) -> bool:
        try:
            async with self._opened().post(
                address, json=body, timeout=self._timeout, allow_redirects=False
            ) as answer:
                return answer.status < 300
        except (aiohttp.ClientError, TimeoutError, ValueError):
            return False

    def _opened(self) -> aiohttp.ClientSession:
        self._session = self._session or aiohttp.ClientSession()
        return self._session
