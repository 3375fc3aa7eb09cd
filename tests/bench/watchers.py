"""What two thousand watchers cost while nothing happens, and each time something does."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from dataclasses import dataclass, field

from tests.bench import processes
from tests.bench.figures import Row, milliseconds
from tests.bench.load import an_editor
from tests.bench.site import Service, Site
from tests.bench.weddings import Stored, made
from wedsync.client import SyncClient

_WATCHERS, _CONNECTIONS = 2000, 20
_IDLE_SECONDS = 10.0
_OPEN_SECONDS, _SEEN_SECONDS = 60.0, 30.0
# Weddings watched, and changes of each: the same number of deliveries in either case.
_CASES = ((100, 5), (1, 5))


@dataclass
class Watcher:
    """What one has seen, and when."""

    seen: list[int] = field(default_factory=list)
    at: list[float] = field(default_factory=list)


async def run(site: Site) -> AsyncGenerator[Row, None]:
    """Watch a hundred weddings with twenty watchers each, then one with two thousand."""
    service = await site.sync("shared", actors=4)
    for count, changes in _CASES:
        weddings = await made(service, count, items=1)
        await site.quiet()
        async with _watching(service, weddings) as watchers:
            rest = await processes.at_rest(_IDLE_SECONDS)
            row = await _edited(service, weddings, watchers, changes)
        yield {"watchers": _WATCHERS, "weddings": count, "CPU % at rest": rest, **row}


@contextlib.asynccontextmanager
async def _watching(service: Service, weddings: Sequence[Stored]) -> AsyncIterator[list[Watcher]]:
    watchers = [Watcher() for _ in range(_WATCHERS)]
    async with contextlib.AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(service.client()) for _ in range(_CONNECTIONS)]
        tasks = [
            asyncio.create_task(
                _watch(clients[n % _CONNECTIONS], weddings[n % len(weddings)].wedding_id, watcher)
            )
            for n, watcher in enumerate(watchers)
        ]
        try:
            await _until(watchers, 1, _OPEN_SECONDS)
            yield watchers
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def _watch(sync: SyncClient, wedding_id: str, watcher: Watcher) -> None:
    async with contextlib.aclosing(sync.watch_wedding(wedding_id)) as messages:
        async for message in messages:
            watcher.seen.append(message.sequence)
            watcher.at.append(time.perf_counter())


async def _edited(
    service: Service, weddings: Sequence[Stored], watchers: Sequence[Watcher], changes: int
) -> Row:
    before, began = processes.Usage.now(), time.perf_counter()
    sent: list[float] = []
    async with an_editor(service) as editor:
        for turn in range(changes):
            sent.append(time.perf_counter())
            await asyncio.gather(*(editor.edit(wedding) for wedding in weddings))
            await _until(watchers, turn + 2, _SEEN_SECONDS)
    took = time.perf_counter() - began
    used = processes.Usage.now().since(before)
    for watcher in watchers:
        first = watcher.seen[0]
        if watcher.seen != list(range(first, first + changes + 1)):
            raise AssertionError(f"a watcher saw {watcher.seen}")
    deliveries = len(watchers) * changes
    return {
        "deliveries": deliveries,
        "deliveries/s": round(deliveries / took),
        **milliseconds([at - sent[n] for watcher in watchers for n, at in enumerate(watcher.at[1:])]),
        **processes.microseconds_each(used, deliveries),
    }


async def _until(watchers: Sequence[Watcher], count: int, seconds: float) -> None:
    async with asyncio.timeout(seconds):
        while any(len(watcher.seen) < count for watcher in watchers):  # noqa: ASYNC110  # none per count
            await asyncio.sleep(0.005)
