"""Twenty thousand webhooks from one tenant within five seconds, and what the others notice of it."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from tests.bench.figures import Row
from tests.bench.outcome import exact
from tests.bench.whole import Whole
from wedsync.testing.load.scenarios import burst

_RATE, _WEDDINGS = 50.0, 1_250
_WEBHOOKS, _SECONDS = 20_000, 5.0


async def run(whole: Whole) -> AsyncGenerator[Row, None]:
    """Measure the others alone, then again during the flood."""
    wanted = whole.wanted
    running = await whole.system()
    fan_out = wanted.fan_out or 1
    stage = await whole.stage(running, weddings=wanted.weddings or _WEDDINGS, fan_out=fan_out)
    tenant = [wedding for wedding in stage.weddings if wedding.key == stage.weddings[0].key]
    flood = await burst(
        running.trials(stage),
        tenant=tenant,
        webhooks=wanted.flood or _WEBHOOKS,
        seconds=_SECONDS,
        rate=wanted.rate or _RATE,
    )
    settings = {"placement": running.placement, "weddings": len(stage.weddings), "fan_out": fan_out}
    yield {**settings, "the tenant's weddings": len(tenant), **flood.figures()}
    exact(flood.before)
    exact(flood.during)
