"""A little load of each sort, in a minute: whether anything is lost or doubled, never how long it takes."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from tests.bench.figures import Row
from tests.bench.outcome import exact, shown
from tests.bench.whole import Whole
from wedsync.testing.load.plan import poisson
from wedsync.testing.load.scenarios import burst

_WEDDINGS, _FAN_OUT = 30, 3
_RATE, _SECONDS = 20.0, 6.0
_FLOOD, _FLOOD_SECONDS = 400, 1.0


async def run(whole: Whole) -> AsyncGenerator[Row, None]:
    """Edit at a steady rate, then have one studio flood the others."""
    running = await whole.system()
    stage = await whole.stage(running, weddings=_WEDDINGS, fan_out=_FAN_OUT)
    trials, settings = running.trials(stage), {"weddings": _WEDDINGS, "fan_out": _FAN_OUT}
    origins = await stage.origins()
    result = await trials.prove(origins, poisson(origins, rate=_RATE, seconds=_SECONDS))
    yield shown(running, result, case="steady", **settings)
    exact(result)
    tenant = [wedding for wedding in stage.weddings if wedding.key == stage.weddings[0].key]
    flood = await burst(trials, tenant=tenant, webhooks=_FLOOD, seconds=_FLOOD_SECONDS, rate=_RATE)
    yield shown(running, flood.during, case="flood", **settings)
    for one in (flood.before, flood.during):
        exact(one)
    if not min(result.accepted, flood.before.accepted, flood.during.accepted):
        raise AssertionError("nothing was accepted, so nothing was proved")
