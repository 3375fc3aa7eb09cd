"""Where a load on the whole system runs: four services and their servers, the vendors' sink, weddings."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from signal import SIGTERM

from services.launcher.units import Program
from tests.bench.running import Running
from tests.bench.seeded import seeded
from tests.bench.site import SIXTY_FOUR
from tests.bench.system import notes
from wedsync.runtime.embedded.process import Launch
from wedsync.testing.load.processes import ACTORS, System
from wedsync.testing.load.programs import a_sink
from wedsync.testing.load.stage import DAY, Shape, Stage, set_up
from wedsync.testing.load.target import a_target

_ACTORS = {"dedicated": SIXTY_FOUR, "shared": 4}
_MOST_WARM = 64
_START_SECONDS, _STOP_SECONDS, _FILL_SECONDS = 120.0, 60.0, 180.0
_VENDORS = 9
_DELAY_MS = 20.0
_MADE_AS_CUSTOMERS_DO = 50
"""More weddings than these are copied in."""
# Webhooks are what tells us. A vendor is looked at besides once in a while; here not at all, or a scenario
# would pay for the thousands of links that those before it have left.
_SETTINGS = {"WEDSYNC_PORTS": "auto", "WEDSYNC_VENDOR_POLL_SECONDS": "7200"}


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What was asked for on the command line; None where a scenario decides."""

    rate: float | None = None
    duration: float | None = None
    weddings: int | None = None
    fan_out: int | None = None
    placement: str | None = None
    flood: int | None = None


@dataclass
class Whole:
    """At most one system at a time, and one stage on it: the next scenario may take them over."""

    home: Path
    wanted: Wanted
    _running: Running | None = None
    _stages: dict[Shape, Stage] = field(default_factory=dict)
    _open: contextlib.AsyncExitStack = field(default_factory=contextlib.AsyncExitStack)
    _started: int = 0

    async def system(self, placement: str | None = None) -> Running:
        """Return a system in this placement, once all its actors are up."""
        asked = placement or self.wanted.placement or "shared"
        if self._running is None or self._running.placement != asked:
            await self.stop()
            self._started += 1
            home = self.home / f"system{self._started}"
            self._running = await self._open.enter_async_context(_a_system(home, asked))
        return self._running

    async def stage(self, running: Running, *, weddings: int, fan_out: int, day: str = DAY) -> Stage:
        """Return so many linked weddings, all on one day."""
        shape = Shape(weddings=weddings, fan_out=fan_out, day=day)
        if shape not in self._stages:
            run = f"s{len(self._stages)}"
            make = seeded if weddings > _MADE_AS_CUSTOMERS_DO else _made
            self._stages[shape] = await make(running, shape, run=run)
        return self._stages[shape]

    async def stop(self) -> None:
        """End what runs."""
        self._running = None
        self._stages.clear()
        await self._open.aclose()


async def _made(running: Running, shape: Shape, *, run: str) -> Stage:
    return await set_up(running.target, running.sink, shape, run=run)


@contextlib.asynccontextmanager
async def _a_system(home: Path, placement: str) -> AsyncIterator[Running]:
    home.mkdir(parents=True)  # noqa: ASYNC240  # once, before anything runs
    actors = _ACTORS[placement]
    program = Program(_launch(home, placement, actors), (home / "run.json").exists, _START_SECONDS)
    try:
        await asyncio.to_thread(program.start)
        known = json.loads(notes(home).read_text("utf-8"))
        async with a_target(home, known["keys"]) as target, a_sink(_VENDORS, delay_ms=_DELAY_MS) as sink:
            system = System.of(target.run, sink.pid)
            await _until_up(system, min(actors, _MOST_WARM))
            yield Running(
                placement=placement,
                home=home,
                target=target,
                sink=sink,
                system=system,
                database_url=known["database_url"],
            )
    finally:
        await asyncio.to_thread(program.stop)


def _launch(home: Path, placement: str, actors: int) -> Launch:
    settings: Mapping[str, str] = {
        **_SETTINGS,
        "WEDSYNC_HOME": str(home),
        "WEDSYNC_SYNC_PLACEMENT": placement,
        "WEDSYNC_SYNC_MAX_ACTORS": str(actors),
        "WEDSYNC_SYNC_WARM_ACTORS": str(min(actors, _MOST_WARM)),
    }
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("WEDSYNC_", "RAY_"))}
    return Launch(
        name="system",
        argv=[sys.executable, "-m", "tests.bench.system"],
        log=home / "system.log",
        env={**kept, **settings},
        stops=((SIGTERM, _STOP_SECONDS),),
    )


async def _until_up(system: System, actors: int) -> None:
    """Wait until every actor's process is there."""
    async with asyncio.timeout(_FILL_SECONDS):
        while system.count(ACTORS) < actors:  # noqa: ASYNC110  # processes set no event
            await asyncio.sleep(0.5)
