"""What every load on the whole system has in common: its settings shown, nothing lost or doubled."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.bench.alone import parts
from tests.bench.whole import Running, Whole
from wedsync.testing.load.trial import Result


class NotExact(AssertionError):
    """Something was lost, or done twice."""


def shown(running: Running, result: Result, **settings: object) -> Mapping[str, Any]:
    """Return a row: the settings first."""
    return {"placement": running.placement, **settings, **result.figures()}


async def compared(whole: Whole, result: Result) -> Mapping[str, Any]:
    """Return the rate as a share of what this machine does in the same run when it does nothing else."""
    if not whole.ceilings:
        whole.ceilings = parts.named([row async for row in parts.rows(whole.home / "alone")])
    rate = result.accepted / result.seconds
    return {
        "ceilings_per_second": whole.ceilings,
        "ratios": {name: round(rate / ceiling, 4) for name, ceiling in whole.ceilings.items()},
    }


def exact(result: Result) -> None:
    """Fail unless everything that was accepted is everywhere once."""
    if not result.exact:
        lost, doubled = len(result.verdict.lost), len(result.verdict.doubled)
        said = f"{lost} lost, {doubled} doubled, {result.rejected} rejected"
        raise NotExact(f"{said}: {'; '.join(result.problems)}")
