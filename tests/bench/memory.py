"""Memory of each service at rest, of an actor's process, and of a wedding that an actor holds."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

from tests.bench.figures import Row
from tests.bench.running import Running
from tests.bench.whole import Whole
from wedsync.testing.load.processes import ACTORS

_WEDDINGS = 400
_SERVICES = ("gateway", "sync", "conflicts", "health")
_QUIET_SECONDS = 60.0


async def run(whole: Whole) -> AsyncGenerator[Row, None]:
    """Start a system anew, look; have it hold weddings, look again."""
    wanted = whole.wanted
    await whole.stop()
    running = await whole.system()
    idle = running.system.memory()
    actors = running.system.count(ACTORS)
    yield {
        "placement": running.placement,
        "case": "at rest",
        "services_mb": round(sum(idle[name] for name in _SERVICES), 1),
        "actors": actors,
        "mb_per_actor": round(idle[ACTORS] / actors, 1),
        "memory_mb": idle,
    }
    weddings = wanted.weddings or _WEDDINGS
    await whole.stage(running, weddings=weddings, fan_out=wanted.fan_out or 1)
    await _quiet(running)
    held = running.system.memory()
    yield {
        "placement": running.placement,
        "case": f"{weddings} weddings made and linked",
        "services_mb": round(sum(held[name] for name in _SERVICES), 1),
        "actors": running.system.count(ACTORS),
        "kb_per_wedding": round((held[ACTORS] - idle[ACTORS]) / weddings * 1000, 1),
        "memory_mb": held,
    }


async def _quiet(running: Running) -> None:
    async with asyncio.timeout(_QUIET_SECONDS):
        while running.ask("SELECT EXISTS (SELECT FROM sync.outbox)"):  # noqa: ASYNC110  # nor do tables
            await asyncio.sleep(0.5)
