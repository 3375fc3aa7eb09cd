"""Webhooks at a steady rate through the whole system, from the vendor that tells to all that must be told."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from tests.bench.figures import Row
from tests.bench.whole import Whole
from wedsync.testing.load.plan import poisson
from wedsync.testing.load.trial import Result

_RATE, _SECONDS, _WEDDINGS, _FAN_OUTS = 300.0, 20.0, 250, (1, 7)
_WARM_UP_SECONDS = 3.0


class NotExact(AssertionError):
    """Something was lost, or done twice."""


async def run(whole: Whole) -> AsyncGenerator[Row, None]:
    """Load it once for each fan-out that was asked for."""
    wanted = whole.wanted
    for fan_out in [wanted.fan_out] if wanted.fan_out else _FAN_OUTS:
        running = await whole.system()
        weddings = wanted.weddings or _WEDDINGS
        stage = await whole.stage(running, weddings=weddings, fan_out=fan_out)
        trials = await running.trials(stage)
        rate, seconds = wanted.rate or _RATE, wanted.duration or _SECONDS
        await trials.prove(o := await stage.origins(), poisson(o, rate=rate, seconds=_WARM_UP_SECONDS))
        result = await trials.prove(o := await stage.origins(), poisson(o, rate=rate, seconds=seconds))
        yield {
            "placement": running.placement,
            "weddings": weddings,
            "fan_out": fan_out,
            "seconds": seconds,
            **result.figures(),
        }
        exact(result)


def exact(result: Result) -> None:
    """Fail unless everything that was accepted is everywhere once."""
    verdict = result.verdict
    if verdict.lost or verdict.doubled:
        raise NotExact(
            f"{len(verdict.lost)} lost, {len(verdict.doubled)} doubled: {'; '.join(result.problems)}"
        )
