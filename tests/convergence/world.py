"""One seed: a storm of edits and faults, and then what must be true once it is over."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from random import Random
from types import SimpleNamespace
from unittest.mock import patch

from tests.convergence.report import Cost, Report
from tests.convergence.site import Site
from tests.simulation.loop import Stuck
from wedsync.model import ids

_STORM_EDITS, _SINGLE_EDITS = 18, 4
_QUIET_SECONDS = 400.0
"""Longer than any pause between two tries; then something goes on for ever."""
_MOST_DECISIONS = 4
"""A decision is no edit of anybody's: nobody is to answer it."""
_MOST_WRITES = 2
"""By one edit, at each vendor."""
_ONE_TROUBLE = ("", "lost", "late", "refused", "garbage")


class World:
    """Lives through one seed."""

    def __init__(self, vendor: str, seed: int) -> None:
        self.site = Site(vendor, seed)
        self.around, self._chance = self.site.around, self.site.chance
        self._report = Report(vendor=vendor, seed=seed)

    def run(self) -> Report:
        """Live through it."""
        loop, report = self.around.loop, self._report
        asyncio.set_event_loop(loop)
        try:
            with _drawn_from(self._chance):
                loop.run_until_complete(self._main())
        except Stuck as stuck:
            report.wrong.append(str(stuck))
        report.wrong += loop.complaints
        self._end()
        asyncio.set_event_loop(None)
        loop.close()
        report.digest, report.struck = self.around.digest(), dict(self.around.faults.struck)
        return report

    async def _main(self) -> None:
        courier = asyncio.create_task(self.site.courier.run())
        await self._storm()
        self.site.heal()
        for phase in (self._agree, self._decide, self._repeat, self._edit_alone):
            await phase()
            self._report.wrong += self.site.wrong()
            if self._report.wrong:
                break
        courier.cancel()

    async def _storm(self) -> None:
        """Everybody edits, and everything goes wrong."""
        for line in self.site.lines.values():
            line.trouble = self._chance.choice((0.0, 0.05, 0.2))
        for _ in range(_STORM_EDITS):
            self.site.trouble()
            self.around.note(None, self.site.people.act())
            self._report.edits += 1
            await asyncio.sleep(self._chance.random() * self._chance.choice((0.1, 1.0, 6.0)))

    async def _agree(self) -> None:
        """What nobody disputes becomes the same everywhere."""
        await self._calm()

    async def _decide(self) -> None:
        """Once everything is decided, nothing is held back any more."""
        for _ in range(_MOST_DECISIONS):
            if self.site.canon.collisions() and not self._report.wrong:
                self.site.people.decide_all()
                await self._calm()
        disputed = [path for _, path, _ in self.site.canon.collisions()]
        self._report.wrong += [f"{path} is decided again and again" for path in disputed]

    async def _repeat(self) -> None:
        """What comes days late, looks at every record and deliveries of every item change nothing at all."""
        before = self.site.state()
        self.site.repeat()
        await self._calm()
        if before != self.site.state():
            self._report.wrong.append(f"it was calm, and moved again: {before} {self.site.state()}")

    async def _edit_alone(self) -> None:
        """An edit that nobody else edits beside costs each vendor two writes at most, whatever fails once."""
        for _ in range(_SINGLE_EDITS):
            before = self._calls()
            line = self._chance.choice(list(self.site.lines.values()))
            line.next_trouble = self._chance.choice(_ONE_TROUBLE)
            edit = self.site.people.edit_something()
            self.around.note(None, f"{edit} ({line.system.name}: {line.next_trouble or 'no trouble'})")
            await self._calm()
            line.next_trouble = ""
            costs = [self._cost(name, before[name], after) for name, after in self._calls().items()]
            self._report.costs += costs
            dear = [cost for cost in costs if cost.writes > _MOST_WRITES]
            self._report.wrong += [f"{edit}: {cost.writes} writes at {cost.vendor}" for cost in dear]
            self._report.wrong += self.site.wrong()
            if self._report.wrong or self.site.canon.collisions():
                return

    def _calls(self) -> dict[str, tuple[int, int, int]]:
        systems = {name: line.system for name, line in self.site.lines.items()}
        return {
            name: (system.count(), system.reads["read"] + system.reads["find"], system.reads["scan"])
            for name, system in systems.items()
        }

    def _cost(self, name: str, before: tuple[int, ...], after: tuple[int, ...]) -> Cost:
        writes, reads, scans = (b - a for a, b in zip(before, after, strict=True))
        vendor = self.site.lines[name].system.manifest.vendor
        return Cost(vendor=vendor, writes=writes, reads=reads, scans=scans)

    async def _calm(self) -> None:
        """Wait until nothing moves any more, and every vendor was scanned twice since."""
        began = moved = self.around.loop.time()
        self.site.help()
        scans = self.site.tables.scans
        first, state, seen = Counter(scans), self.site.state(), Counter(scans)
        while any(scans[link.link_id] < seen[link.link_id] + 2 for link in self.site.links.values()):
            await asyncio.sleep(0.5)
            if self.around.loop.time() > began + _QUIET_SECONDS:
                self._report.wrong.append(f"it never becomes quiet: {self.site.busy()}")
                return
            if self.site.busy() or state != self.site.state():
                state, seen, moved = self.site.state(), Counter(scans), self.around.loop.time()
        self._report.calm_seconds.append(moved - began)
        self._report.calm_rounds.append(max((seen - first).values(), default=0))

    def _end(self) -> None:
        """Leave nothing behind that still waits for something."""
        for gateway in self.site.gateways:
            gateway.on_death.clear()
            gateway.kill()
        left = asyncio.all_tasks(self.around.loop)
        for task in left:
            task.cancel()
        self.around.loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))


@contextmanager
def _drawn_from(chance: Random) -> Iterator[None]:
    """Have what production draws from elsewhere drawn from the seed: jitter, and ids."""
    before = random.getstate()
    random.seed(chance.random())
    milliseconds = iter(range(1_800_000_000_000, 1 << 48))
    with (
        patch.object(ids, "os", SimpleNamespace(urandom=chance.randbytes)),
        patch.object(ids, "time", SimpleNamespace(time_ns=lambda: next(milliseconds) * 1_000_000)),
    ):
        yield
    random.setstate(before)


def lived(vendor: str, seed: int) -> Report:
    """Live through one seed."""
    return World(vendor, seed).run()
