"""Who watches which wedding on this server, and what wakes them: our own commits, and hints of others'."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from typing import Protocol

CHANNEL = "sync.commits"
"""Carries the ids of weddings whose log grew."""


class Hints(Protocol):
    """What this needs of `wedsync.runtime.hints`."""

    def publish(self, channel: str, payload: bytes = b"") -> None:
        """Send a hint, if that is possible at all."""
        ...

    def subscribe(self, channel: str) -> AsyncIterator[bytes]:
        """Yield what others publish."""
        ...


class Live:
    """Wakes watchers. A wake-up says "look again" and nothing else, so a lost one costs only time."""

    def __init__(self, hints: Hints) -> None:
        self._hints = hints
        self._watchers: dict[str, set[asyncio.Event]] = {}
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to listen to other servers of this service."""
        self._task = asyncio.create_task(self._listen(), name="live")

    async def stop(self) -> None:
        """Stop listening."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def committed(self, wedding_id: str) -> None:
        """Tell every watcher of the wedding, here and on other servers."""
        self._wake(wedding_id)
        self._hints.publish(CHANNEL, wedding_id.encode())

    @contextlib.contextmanager
    def watching(self, wedding_id: str) -> Iterator[asyncio.Event]:
        """Yield an event that is set whenever the wedding's log may have grown."""
        event = asyncio.Event()
        self._watchers.setdefault(wedding_id, set()).add(event)
        try:
            yield event
        finally:
            self._watchers[wedding_id].discard(event)
            if not self._watchers[wedding_id]:
                del self._watchers[wedding_id]

    def _wake(self, wedding_id: str) -> None:
        for event in self._watchers.get(wedding_id, ()):
            event.set()

    async def _listen(self) -> None:
        async for payload in self._hints.subscribe(CHANNEL):
            self._wake(payload.decode(errors="replace"))
