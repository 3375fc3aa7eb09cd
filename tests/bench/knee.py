"""The highest rate at which 99 of 100 edits are with the last vendor within 200 ms."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from tests.bench.figures import Row
from tests.bench.outcome import exact, shown
from tests.bench.whole import Whole
from wedsync.testing.load.scenarios import knee

_RATE, _SECONDS, _WEDDINGS = 40.0, 10.0, 1_250


async def run(whole: Whole) -> AsyncGenerator[Row, None]:
    """Yield each rate that was tried; the last one says which was the highest good one."""
    wanted = whole.wanted
    running = await whole.system()
    fan_out, seconds = wanted.fan_out or 1, wanted.duration or _SECONDS
    stage = await whole.stage(running, weddings=wanted.weddings or _WEDDINGS, fan_out=fan_out)
    best = 0.0
    async for step in knee(running.trials(stage), first=wanted.rate or _RATE, seconds=seconds):
        best = max(best, step.rate) if step.good else best
        row = shown(running, step.result, weddings=len(stage.weddings), fan_out=fan_out, seconds=seconds)
        yield {"knee so far": best, **row}
        exact(step.result)
