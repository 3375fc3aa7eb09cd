"""The newest of one wedding's log, kept once for everyone on this server who watches it.

A watcher is nothing but a sequence: it takes what follows. So nobody has a queue that could fill up, and
whoever falls behind what is kept here reads Postgres.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from itertools import islice
from typing import Protocol

from wedsync.errors import UnknownWedding

KEPT_MESSAGES, KEPT_BYTES = 64, 256 * 1024
"""Of one wedding; whichever is reached first, but never less than one message."""


class Message(Protocol):
    """An entry of the log as watchers get it; in a wedding's log sequences have no gaps."""

    @property
    def sequence(self) -> int:
        """Its place in the log."""
        ...

    def ByteSize(self) -> int:  # noqa: N802  # protobuf's name
        """Return its size."""
        ...


class Feed:
    """What follows a sequence of one wedding's log."""

    def __init__(self, reached: int) -> None:
        self.reached = reached
        """The sequence up to which the log was read."""
        self.watchers = 0
        self._messages: deque[Message] = deque()
        self._bytes = 0
        self._members: frozenset[str] | None = None
        self._changed = asyncio.Event()

    def add(self, messages: Sequence[Message]) -> None:
        """Take in what follows in the log."""
        for message in messages:
            self._messages.append(message)
            self._bytes += message.ByteSize()
            self.reached = message.sequence
        while len(self._messages) > KEPT_MESSAGES or (self._bytes > KEPT_BYTES and len(self._messages) > 1):
            self._bytes -= self._messages.popleft().ByteSize()
        if messages:
            self._wake()

    def after(self, sequence: int) -> list[Message] | None:
        """Return what follows a sequence; None where that is not kept any more."""
        first = self.reached - len(self._messages)
        if sequence < first:
            return None
        return list(islice(self._messages, sequence - first, None))

    def see(self, members: frozenset[str]) -> None:
        """Learn who the wedding's members are now."""
        if members != self._members:
            self._members = members
            self._wake()

    def require(self, viewer: str | None) -> None:
        """Return if the viewer was not found to have left. Raises `UnknownWedding`."""
        if viewer is not None and self._members is not None and viewer not in self._members:
            raise UnknownWedding

    async def changed(self) -> None:
        """Return once there is more, or other members."""
        await self._changed.wait()

    def _wake(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()
