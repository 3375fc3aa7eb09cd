"""Who watches which wedding on this server, and the one reader that looks into the log for all of them.

It looks where a commit of ours or another server's hint says so, and from time to time everywhere,
because a hint may be lost. However many watch, each entry is read and translated once, and whoever
only waits costs nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from typing import Protocol

from services.sync.feed import KEPT_MESSAGES, Feed, Message
from services.sync.records import LogEntry, LogPage
from wedsync.clock import Clock

_log = logging.getLogger(__name__)

CHANNEL = "sync.commits"
"""Carries the ids of weddings whose log grew, several with commas between."""

_TOGETHER = 100
"""Weddings looked at in one query."""
_PAGE = 200
"""Entries a watcher that is behind reads at once."""
_READING = 4
"""Watchers that read Postgres at once: after a restart all come back, and edits need connections too."""
_TROUBLE_SECONDS = 1.0
_PACE_SECONDS = 0.01
"""Between two hints: each costs every server more than an id in it."""


class Hints(Protocol):
    """What this needs of `wedsync.runtime.hints`."""

    def publish(self, channel: str, payload: bytes = b"") -> None:
        """Send a hint, if that is possible at all."""
        ...

    def subscribe(self, channel: str) -> AsyncIterator[bytes]:
        """Yield what others publish."""
        ...


class Log(Protocol):
    """What this needs of the store; `viewer` None is a service of our own."""

    async def sequence(self, wedding_id: str, *, viewer: str | None) -> int:
        """Return the last sequence. Raises `UnknownWedding`."""
        ...

    async def list_changes(self, wedding_id: str, *, viewer: str | None, after: int, limit: int) -> LogPage:
        """Return what follows a sequence. Raises `UnknownWedding`."""
        ...

    async def grown(self, after: Mapping[str, int], *, limit: int) -> Mapping[str, Sequence[LogEntry]]:
        """Return, by wedding, what follows its sequence, at most `limit` entries of each."""
        ...

    async def members(self, wedding_ids: Sequence[str]) -> Mapping[str, frozenset[str]]:
        """Return the members of each wedding."""
        ...


Show = Callable[[str, LogEntry], Message]
"""Turns an entry of a wedding's log into what watchers get."""


class Watch:
    """One watcher's way through a wedding's log."""

    def __init__(
        self,
        feed: Feed,
        viewer: str | None,
        reached: int,
        behind: Callable[[int], Awaitable[Sequence[Message]]],
    ) -> None:
        self._feed, self._viewer, self._behind = feed, viewer, behind
        self.reached = reached
        """The sequence after which it goes on."""

    async def news(self) -> Sequence[Message]:
        """Return what follows, once there is something. Raises `UnknownWedding` for who is no member now."""
        while True:
            self._feed.require(self._viewer)
            messages: Sequence[Message] | None = self._feed.after(self.reached)
            if messages is None:
                messages = await self._behind(self.reached)
            if messages:
                self.reached = messages[-1].sequence
                return messages
            await self._feed.changed()


class Live:
    """The watched weddings of this server."""

    def __init__(
        self,
        hints: Hints,
        log: Log,
        *,
        show: Show,
        clock: Clock,
        poll_seconds: float = 5.0,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._hints, self._log, self._show = hints, log, show
        self._clock, self._poll_seconds, self._jitter = clock, poll_seconds, jitter
        self._feeds: dict[str, Feed] = {}
        self._grown: dict[str, None] = {}
        """Weddings to look at, in the order in which they grew."""
        self._look = asyncio.Event()
        self._told: dict[str, None] = {}
        """Weddings to tell other servers of."""
        self._tell = asyncio.Event()
        self._reading = asyncio.Semaphore(_READING)
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin to read, and to listen to other servers of this service."""
        self._tasks = [
            asyncio.create_task(self._read_for_ever(), name="live-read"),
            asyncio.create_task(self._poll_for_ever(), name="live-poll"),
            asyncio.create_task(self._listen(), name="live-hints"),
            asyncio.create_task(self._tell_for_ever(), name="live-tell"),
        ]

    async def stop(self) -> None:
        """Stop reading and listening."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def committed(self, wedding_id: str) -> None:
        """Show the wedding's watchers what is new, here and on other servers."""
        self._look_at([wedding_id])
        self._told[wedding_id] = None
        self._tell.set()

    @contextlib.asynccontextmanager
    async def watching(
        self, wedding_id: str, *, viewer: str | None, after: int | None
    ) -> AsyncIterator[Watch]:
        """Yield the log after a sequence; None for what comes from now on. Raises `UnknownWedding`."""
        async with self._reading:
            last = await self._log.sequence(wedding_id, viewer=viewer)
        place = last if after is None else after

        async def behind(reached: int) -> Sequence[Message]:
            async with self._reading:
                page = await self._log.list_changes(wedding_id, viewer=viewer, after=reached, limit=_PAGE)
            return [self._show(wedding_id, entry) for entry in page.entries]

        # Those who come back after a restart come back to about the same place: it is read once for all.
        with self._feed(wedding_id, min(last, max(place, last - KEPT_MESSAGES))) as feed:
            yield Watch(feed, viewer, place, behind)

    @contextlib.contextmanager
    def _feed(self, wedding_id: str, start: int) -> Iterator[Feed]:
        if wedding_id not in self._feeds:
            self._feeds[wedding_id] = Feed(start)
            self._look_at([wedding_id])  # what was committed since `start` was read
        feed = self._feeds[wedding_id]
        feed.watchers += 1
        try:
            yield feed
        finally:
            feed.watchers -= 1
            if not feed.watchers:
                del self._feeds[wedding_id]

    def _look_at(self, wedding_ids: Iterable[str]) -> None:
        watched = [wedding_id for wedding_id in wedding_ids if wedding_id in self._feeds]
        if watched:
            self._grown |= dict.fromkeys(watched)
            self._look.set()

    async def _read_for_ever(self) -> None:
        while True:
            await self._look.wait()
            self._look.clear()
            grown, self._grown = self._grown, {}
            for some in _some_at_once(grown):
                await self._surely(self._read(some), some)

    async def _read(self, wedding_ids: Sequence[str]) -> None:
        # A feed that is given up and begun anew meanwhile is another one, and is looked at by itself.
        feeds = {
            wedding_id: self._feeds[wedding_id] for wedding_id in wedding_ids if wedding_id in self._feeds
        }
        places = {wedding_id: feed.reached for wedding_id, feed in feeds.items()}
        for wedding_id, entries in (await self._log.grown(places, limit=KEPT_MESSAGES)).items():
            feeds[wedding_id].add([self._show(wedding_id, entry) for entry in entries])
            if len(entries) == KEPT_MESSAGES:
                self._look_at([wedding_id])

    async def _poll_for_ever(self) -> None:
        while True:
            await self._clock.sleep(self._poll_seconds * (0.5 + self._jitter()))
            self._look_at(list(self._feeds))
            for some in _some_at_once(self._feeds):
                await self._surely(self._see_members(some))

    async def _see_members(self, wedding_ids: Sequence[str]) -> None:
        members = await self._log.members(wedding_ids)
        for wedding_id in wedding_ids:
            if feed := self._feeds.get(wedding_id):
                feed.see(members.get(wedding_id, frozenset()))

    async def _surely(self, look: Awaitable[None], again: Iterable[str] = ()) -> None:
        """Look; after trouble wait a little and look again, because nobody else does it for the watchers."""
        try:
            await look
        except Exception as error:  # noqa: BLE001  # whatever it was
            _log.warning("the log cannot be read for those who watch: %s", type(error).__name__)
            self._look_at(again)
            await self._clock.sleep(_TROUBLE_SECONDS * (0.5 + self._jitter()))

    async def _listen(self) -> None:
        async for payload in self._hints.subscribe(CHANNEL):
            self._look_at(payload.decode(errors="replace").split(","))

    async def _tell_for_ever(self) -> None:
        """Tell of the first at once, and of those that come soon after it together."""
        while True:
            await self._tell.wait()
            self._tell.clear()
            told, self._told = self._told, {}
            self._hints.publish(CHANNEL, ",".join(told).encode())
            await self._clock.sleep(_PACE_SECONDS)


def _some_at_once(wedding_ids: Iterable[str]) -> Iterator[list[str]]:
    every = list(wedding_ids)
    for start in range(0, len(every), _TOGETHER):
        yield every[start : start + _TOGETHER]
