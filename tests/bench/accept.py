"""How long a webhook takes until it is safe on disk and the vendor has its answer."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from tests.bench.figures import Row
from tests.bench.outcome import exact, shown
from tests.bench.whole import Whole
from wedsync.testing.load.scenarios import steady

_RATE, _SECONDS, _WEDDINGS = 833.0, 3.0, 1_250


async def run(whole: Whole) -> AsyncGenerator[Row, None]:
    """Send at a rate, whatever becomes of the rest meanwhile."""
    wanted = whole.wanted
    running = await whole.system()
    stage = await whole.stage(running, weddings=wanted.weddings or _WEDDINGS, fan_out=1)
    seconds = wanted.duration or _SECONDS
    result = await steady(running.trials(stage), rate=wanted.rate or _RATE, seconds=seconds)
    yield shown(running, result, weddings=len(stage.weddings), fan_out=1, seconds=seconds)
    exact(result)
