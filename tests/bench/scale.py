"""What a webhook costs with 10 to 100,000 weddings stored, and in a wedding of 1 to 1,000,000 changes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from functools import partial

from tests.bench import copies, history
from tests.bench.figures import Row
from tests.bench.outcome import exact, shown
from tests.bench.running import Running
from tests.bench.whole import Whole
from wedsync.testing.load.plan import poisson
from wedsync.testing.load.stage import Shape, Stage, Wedding, set_up
from wedsync.testing.load.trial import Trials

_RATE, _SECONDS, _WARM_UP_SECONDS = 20.0, 10.0, 3.0
_IN_USE = 10
_STORED = (10, 1_000, 100_000)
_HISTORIES = (1, 1_000, 1_000_000)


async def run(whole: Whole) -> AsyncGenerator[Row, None]:
    """Load the same few weddings while more and more stand beside them, then one that grows old."""
    running = await whole.system()
    stage = await whole.stage(running, weddings=_IN_USE + 1, fan_out=1)
    *used, template = stage.weddings
    trials = running.trials(stage)
    await _measured(whole, running, trials, stage, used, _WARM_UP_SECONDS)
    there = _IN_USE
    for stored in _STORED:
        if stored > there:
            await asyncio.to_thread(
                copies.multiply, running.database_url, template.wedding_id, there + 1, stored
            )
            there = stored
        yield {"stored": stored, **await _measured(whole, running, trials, stage, used)}
    for changes in _HISTORIES:
        aged = await set_up(
            running.target,
            running.sink,
            Shape(weddings=1, fan_out=1),
            run=f"aged-{changes}",
            grown=partial(_fill, running, changes),
        )
        trials = running.trials(aged)
        await _measured(whole, running, trials, aged, aged.weddings, _WARM_UP_SECONDS)
        yield {"history": changes, **await _measured(whole, running, trials, aged, aged.weddings)}
    await whole.stop()


async def _measured(
    whole: Whole,
    running: Running,
    trials: Trials,
    stage: Stage,
    weddings: list[Wedding],
    seconds: float = _SECONDS,
) -> Row:
    wanted = whole.wanted
    rate, seconds = wanted.rate or _RATE, wanted.duration or seconds
    origins = await stage.origins(weddings)
    result = await trials.prove(origins, poisson(origins, rate=rate, seconds=seconds))
    exact(result)
    return shown(running, result, weddings=len(weddings), fan_out=1, seconds=seconds)


async def _fill(running: Running, changes: int, wedding_id: str) -> None:
    await asyncio.to_thread(history.fill, running.database_url, wedding_id, changes, items=1)
