"""Sends rest hooks: a POST to every subscriber of an event, tried a few times and then given up."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping
from typing import Any

import aiohttp

from wedsync.clock import Clock

_ATTEMPTS = 4
_FIRST_WAIT_SECONDS = 0.2
_TIMEOUT = aiohttp.ClientTimeout(total=5)
# A subscriber that never answers must not pile up tasks; what comes on top is dropped, as hooks may be.
_MAX_UNDER_WAY = 200


class HookSender:
    """Delivers hook bodies in the background; `aclose` abandons what is still under way."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._session: aiohttp.ClientSession | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def send(self, url: str, body: Mapping[str, Any]) -> None:
        """Start delivering; drops the hook if too many are under way."""
        if len(self._tasks) < _MAX_UNDER_WAY:
            task = asyncio.create_task(self._deliver(url, body))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def aclose(self) -> None:
        """Abandon deliveries and close the connections."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._session:
            await self._session.close()

    async def _deliver(self, url: str, body: Mapping[str, Any]) -> None:
        for attempt in range(_ATTEMPTS):
            if attempt:
                wait = _FIRST_WAIT_SECONDS * 2**attempt
                await self._clock.sleep(random.uniform(wait / 2, wait))  # noqa: S311 - jitter, not a secret
            if await self._accepted(url, body):
                return

    async def _accepted(self, url: str, body: Mapping[str, Any]) -> bool:
        self._session = self._session or aiohttp.ClientSession(timeout=_TIMEOUT)
        try:
            async with self._session.post(url, json=body, allow_redirects=False) as answer:
                return answer.status < 300
        except (aiohttp.ClientError, TimeoutError, ValueError):
            return False
