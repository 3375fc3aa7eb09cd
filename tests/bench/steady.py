"""Webhooks at a steady rate through the whole system, from the vendor that tells to all that must be told."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from tests.bench.figures import Row
from tests.bench.outcome import exact, shown
from tests.bench.whole import Whole
from wedsync.testing.load.scenarios import steady

_RATE, _SECONDS, _WEDDINGS, _FAN_OUTS = 300.0, 6.0, 1_250, (1, 7)


async def run(whole: Whole) -> AsyncGenerator[Row, None]:
    """Load it once for each fan-out that was asked for."""
    wanted = whole.wanted
    for fan_out in [wanted.fan_out] if wanted.fan_out else _FAN_OUTS:
        running = await whole.system()
        weddings, seconds = wanted.weddings or _WEDDINGS, wanted.duration or _SECONDS
        stage = await whole.stage(running, weddings=weddings, fan_out=fan_out)
        result = await steady(running.trials(stage), rate=wanted.rate or _RATE, seconds=seconds)
        yield shown(running, result, weddings=weddings, fan_out=fan_out, seconds=seconds)
        exact(result)
