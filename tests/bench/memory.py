"""Memory of each service at rest, of an actor's process, and of a wedding that an actor holds."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from tests.bench.figures import Row
from tests.bench.outcome import exact
from tests.bench.whole import Whole
from wedsync.testing.load.plan import Origin, Send, numbered
from wedsync.testing.load.processes import ACTORS
from wedsync.testing.load.stage import Stage

_WEDDINGS, _RATE = 400, 40.0
_SERVICES = ("gateway", "sync", "conflicts", "health")


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
    stage = await whole.stage(running, weddings=weddings, fan_out=wanted.fan_out or 1)
    exact(await running.trials(stage).prove(*await _one_of_each(stage)))
    held = running.system.memory()
    yield {
        "placement": running.placement,
        "case": f"{weddings} weddings edited",
        "services_mb": round(sum(held[name] for name in _SERVICES), 1),
        "actors": running.system.count(ACTORS),
        "kb_per_wedding": round((held[ACTORS] - idle[ACTORS]) / weddings * 1000, 1),
        "memory_mb": held,
    }


async def _one_of_each(stage: Stage) -> tuple[list[Origin], list[Send]]:
    """Return an edit of one record of each wedding: then all are held."""
    firsts = {origin.wedding_id: origin for origin in await stage.origins()}
    origins = list(firsts.values())
    return origins, numbered(origins, [(place / _RATE, place) for place in range(len(origins))])
