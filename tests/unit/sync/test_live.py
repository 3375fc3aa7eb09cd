"""Watching: read once for all, shown to each once and in order, and nothing spent on those who wait."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

import pytest

from services.sync.feed import KEPT_BYTES, KEPT_MESSAGES, Feed
from services.sync.live import CHANNEL, Live, Watch
from services.sync.records import LogEntry, LogPage
from tests.unit.sync.builders import create
from wedsync.clock import FakeClock
from wedsync.errors import Unavailable, UnknownWedding
from wedsync.model.changes import ChangeResult, Outcome


@dataclass(frozen=True)
class Shown:
    """What a watcher gets of an entry."""

    sequence: int
    size: int = 100

    def ByteSize(self) -> int:  # noqa: N802  # protobuf's name
        """Return its size."""
        return self.size


@dataclass
class Logs:
    """The logs of any weddings, and how often they were read; a commit is told to whoever listens."""

    entries: dict[str, list[LogEntry]] = field(default_factory=dict)
    members_of: dict[str, frozenset[str]] = field(default_factory=dict)
    reads: int = 0
    pages: int = 0
    looks_at_members: int = 0
    shown: int = 0
    away: bool = False
    turns: int = 1
    """How long an answer takes."""

    def commit(self, wedding_id: str, count: int = 1) -> None:
        """Let the log grow."""
        log = self.entries.setdefault(wedding_id, [])
        for _ in range(count):
            change = create()
            result = ChangeResult(change_id=change.change_id, outcome=Outcome.APPLIED, sequence=len(log) + 1)
            log.append(LogEntry(change=change, result=result))

    def show(self, wedding_id: str, entry: LogEntry) -> Shown:
        """Translate an entry."""
        self.shown += 1
        return Shown(entry.result.sequence)

    async def sequence(self, wedding_id: str, *, viewer: str | None) -> int:
        """Return the last sequence."""
        if viewer is not None and viewer not in self.members_of.get(wedding_id, {"studio"}):
            raise UnknownWedding
        await self._answer()
        return len(self.entries.get(wedding_id, []))

    async def list_changes(self, wedding_id: str, *, viewer: str | None, after: int, limit: int) -> LogPage:
        """Return a page."""
        self.pages += 1
        await self._answer()
        return LogPage(entries=self.entries.get(wedding_id, [])[after : after + limit])

    async def grown(self, after: Mapping[str, int], *, limit: int) -> Mapping[str, Sequence[LogEntry]]:
        """Return what follows in several logs."""
        self.reads += 1
        found = {w: self.entries.get(w, [])[place : place + limit] for w, place in after.items()}
        await self._answer()
        return {wedding_id: entries for wedding_id, entries in found.items() if entries}

    async def members(self, wedding_ids: Sequence[str]) -> Mapping[str, frozenset[str]]:
        """Return who takes part."""
        self.looks_at_members += 1
        await self._answer()
        return {w: self.members_of.get(w, frozenset({"studio"})) for w in wedding_ids}

    async def _answer(self) -> None:
        for _ in range(self.turns):
            await asyncio.sleep(0)
        if self.away:
            raise Unavailable


class Incoming:
    """Hints of other servers."""

    def __init__(self) -> None:
        self.published: list[bytes] = []
        self.queue: asyncio.Queue[bytes] = asyncio.Queue()

    def publish(self, channel: str, payload: bytes = b"") -> None:
        """Remember."""
        self.published.append(payload)

    async def subscribe(self, channel: str) -> AsyncIterator[bytes]:
        """Yield what the test puts in."""
        assert channel == CHANNEL
        while True:
            yield await self.queue.get()


@dataclass
class Server:
    """One server's watching, over logs in memory and a clock that stands still."""

    logs: Logs
    hints: Incoming
    clock: FakeClock
    live: Live

    def commit(self, wedding_id: str, count: int = 1) -> None:
        """Commit here."""
        self.logs.commit(wedding_id, count)
        self.live.committed(wedding_id)


@asynccontextmanager
async def a_server() -> AsyncIterator[Server]:
    """Run one."""
    logs, hints, clock = Logs(), Incoming(), FakeClock()
    live = Live(hints, logs, show=logs.show, clock=clock, poll_seconds=5.0, jitter=lambda: 0.5)
    live.start()
    try:
        yield Server(logs, hints, clock, live)
    finally:
        await live.stop()


async def settled() -> None:
    """Let everything go on that can."""
    for _ in range(600):
        await asyncio.sleep(0)


@dataclass
class Reader:
    """A watcher and what it has seen."""

    seen: list[int] = field(default_factory=list)
    start: int = -1
    error: Exception | None = None
    task: asyncio.Task[None] | None = None

    def leave(self) -> None:
        """Stop watching."""
        assert self.task is not None
        self.task.cancel()


def reading(
    server: Server, wedding_id: str, after: int | None = None, *, viewer: str | None = "studio"
) -> Reader:
    """Begin to watch."""
    reader = Reader()
    reader.task = asyncio.create_task(_read(server, wedding_id, after, viewer, reader))
    return reader


async def _read(
    server: Server, wedding_id: str, after: int | None, viewer: str | None, reader: Reader
) -> None:
    try:
        async with server.live.watching(wedding_id, viewer=viewer, after=after) as watch:
            reader.start = watch.reached
            await _take(watch, reader)
    except UnknownWedding as error:
        reader.error = error


async def _take(watch: Watch, reader: Reader) -> None:
    while True:
        reader.seen += [message.sequence for message in await watch.news()]


async def test_a_hundred_watchers_cost_one_read() -> None:
    """A commit is read and translated once, and every watcher of the wedding sees it; others do not."""
    async with a_server() as server:
        readers = [reading(server, "w") for _ in range(100)]
        other = reading(server, "another")
        await settled()
        before = server.logs.reads
        server.commit("w")
        await settled()
        assert [reader.seen for reader in readers] == [[1]] * 100
        assert other.seen == []
        assert (server.logs.reads - before, server.logs.shown, server.logs.pages) == (1, 1, 0)
        assert server.hints.published == [b"w"]


async def test_commits_in_quick_succession_are_told_together() -> None:
    """Other servers learn of the first commit at once, and of those that follow soon in one hint."""
    async with a_server() as server:
        await settled()
        for wedding_id in ("a", "b", "c", "b"):
            server.commit(wedding_id)
            await settled()
        assert server.hints.published == [b"a"]
        server.clock.advance(0.011)
        await settled()
        assert server.hints.published == [b"a", b"b,c"]


async def test_a_hint_may_name_several_weddings() -> None:
    """Whoever watches any wedding of a hint sees what is new there."""
    async with a_server() as server:
        readers = [reading(server, "a"), reading(server, "b")]
        await settled()
        server.logs.commit("a", 1)
        server.logs.commit("b", 1)
        server.hints.queue.put_nowait(b"a,b")
        await settled()
        assert [reader.seen for reader in readers] == [[1], [1]]


async def test_whoever_waits_costs_nothing() -> None:
    """A poll looks at a hundred weddings in one query, however many watch them."""
    async with a_server() as server:
        readers = [reading(server, f"w{number % 200}") for number in range(600)]
        await settled()
        before = server.logs.reads
        server.clock.advance(5)
        await settled()
        assert (server.logs.reads - before, server.logs.looks_at_members) == (2, 2)
        assert all(reader.seen == [] for reader in readers)


async def test_a_lost_hint_costs_only_time() -> None:
    """What was committed elsewhere is seen at a hint, or without one when the next look is due."""
    async with a_server() as server:
        reader = reading(server, "w")
        await settled()
        server.logs.commit("w")
        server.hints.queue.put_nowait(b"somebody else")
        server.hints.queue.put_nowait(b"w")
        await settled()
        assert reader.seen == [1]
        server.logs.commit("w")
        await settled()
        assert reader.seen == [1]
        server.clock.advance(5)
        await settled()
        assert reader.seen == [1, 2]


@pytest.mark.parametrize("after", [None, 0, 1, 235, 236, 237, 299, 300])
async def test_a_watch_goes_on_anywhere(after: int | None) -> None:
    """From the beginning, from what is still kept, from now on: everything after that, once, in order."""
    async with a_server() as server:
        server.logs.commit("w", 300)
        companion = reading(server, "w", 290)
        reader = reading(server, "w", after)
        await settled()
        server.commit("w", 2)
        await settled()
        assert reader.seen == list(range((300 if after is None else after) + 1, 303))
        assert reader.start == (300 if after is None else after)
        assert companion.seen == list(range(291, 303))


async def test_those_who_come_back_together_are_read_for_once() -> None:
    """Watchers that missed a little find it in one read and not each in their own."""
    async with a_server() as server:
        server.logs.commit("w", 100)
        readers = [reading(server, "w", 60) for _ in range(50)]
        await settled()
        assert [reader.seen for reader in readers] == [list(range(61, 101))] * 50
        assert (server.logs.pages, server.logs.shown) == (0, 40)


async def test_a_burst_beyond_what_is_kept_is_seen_whole() -> None:
    """Who cannot follow what is kept reads the log, and is back with the others afterwards."""
    async with a_server() as server:
        quick = reading(server, "w")
        await settled()
        async with server.live.watching("w", viewer="studio", after=None) as slow:
            server.commit("w", 5 * KEPT_MESSAGES)
            await settled()
            taken = [message.sequence for message in await slow.news()]
            while taken[-1] < 5 * KEPT_MESSAGES:
                taken += [message.sequence for message in await slow.news()]
        assert taken == quick.seen == list(range(1, 5 * KEPT_MESSAGES + 1))
        assert server.logs.pages > 0


async def test_a_place_the_log_has_not_reached_is_waited_for() -> None:
    """Who asks for what comes after sequence 3 sees 4 and not what comes before."""
    async with a_server() as server:
        reader = reading(server, "w", 3)
        await settled()
        for _ in range(5):
            server.commit("w")
            await settled()
        assert reader.seen == [4, 5]


async def test_who_leaves_a_wedding_sees_no_more_of_it() -> None:
    """Each watcher's membership is looked at when it begins and again with every poll."""
    async with a_server() as server:
        server.logs.members_of["w"] = frozenset({"studio", "florist"})
        studio, florist, ours = (reading(server, "w", viewer=who) for who in ("studio", "florist", None))
        stranger = reading(server, "w", viewer="stranger")
        await settled()
        server.logs.members_of["w"] = frozenset({"studio"})
        server.clock.advance(5)
        await settled()
        server.commit("w")
        await settled()
        assert isinstance(florist.error, UnknownWedding)
        assert isinstance(stranger.error, UnknownWedding)
        assert (florist.seen, stranger.seen) == ([], [])
        assert (studio.seen, ours.seen) == ([1], [1])


async def test_watchers_outlast_a_database_that_is_away() -> None:
    """While the log cannot be read nobody is told anything; afterwards nothing is missing."""
    async with a_server() as server:
        reader = reading(server, "w")
        await settled()
        server.logs.away = True
        server.commit("w")
        await settled()
        server.clock.advance(1)
        await settled()
        assert reader.seen == []
        server.logs.away = False
        server.clock.advance(1)
        await settled()
        assert reader.seen == [1]


async def test_nothing_is_kept_of_what_nobody_watches() -> None:
    """When the last watcher leaves, a wedding's commits are not read any more; a later watch works."""
    async with a_server() as server:
        readers = [reading(server, "w") for _ in range(2)]
        await settled()
        for reader in readers:
            reader.leave()
        await settled()
        before = server.logs.reads
        server.commit("w")
        await settled()
        assert (server.logs.reads, server.live._feeds) == (before, {})
        again = reading(server, "w", 0)
        await settled()
        assert again.seen == [1]


@pytest.mark.parametrize("seed", range(20))
async def test_every_watch_sees_every_change_once_in_any_order_of_things(seed: int) -> None:
    """Watchers come at any place and leave at any time, hints get lost, the log grows in bursts."""
    dice = random.Random(seed)  # noqa: S311  # a schedule, no secret
    async with a_server() as server:
        readers: list[Reader] = []
        for _ in range(120):
            server.logs.turns = dice.randrange(8)
            match dice.randrange(5):
                case 0:
                    last = len(server.logs.entries.get("w", []))
                    readers.append(reading(server, "w", dice.choice([None, 0, last // 2, last])))
                case 1 if readers:
                    dice.choice(readers).leave()
                case 2:
                    server.logs.commit("w", dice.choice([1, 1, 90]))
                case 3:
                    server.commit("w", dice.choice([1, 1, 90]))
                case _:
                    server.clock.advance(dice.choice([0.1, 5]))
            for _ in range(dice.randrange(8)):
                await asyncio.sleep(0)
        staying = reading(server, "w", 0)
        for _ in range(20):
            server.clock.advance(5)
            await settled()
        last = len(server.logs.entries.get("w", []))
        assert staying.seen == list(range(1, last + 1))
        for reader in readers:
            assert reader.seen == list(range(reader.start + 1, reader.start + 1 + len(reader.seen)))
            if reader.task is not None and not reader.task.done():
                assert reader.start + len(reader.seen) == last


def test_what_is_kept_is_bounded_in_bytes() -> None:
    """Large entries push older ones out early; the newest is always there."""
    feed = Feed(0)
    feed.add([Shown(1, KEPT_BYTES), Shown(2, KEPT_BYTES * 2)])
    assert feed.after(0) is None
    assert feed.after(1) == [Shown(2, KEPT_BYTES * 2)]
    feed.add([replace(Shown(number), size=10) for number in range(3, 9)])
    assert feed.after(2) == [Shown(number, 10) for number in range(3, 9)]
    assert feed.after(8) == []


async def test_live_that_was_never_started_stops() -> None:
    """Stopping before starting is no mistake."""
    logs = Logs()
    await Live(Incoming(), logs, show=logs.show, clock=FakeClock()).stop()
