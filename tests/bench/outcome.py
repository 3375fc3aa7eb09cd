"""What every load on the whole system has in common: its settings shown, nothing lost or doubled."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.bench.running import Running
from wedsync.testing.load.trial import Result


class NotExact(AssertionError):
    """Something was lost, or done twice."""


def shown(running: Running, result: Result, **settings: object) -> Mapping[str, Any]:
    """Return a row: the settings first."""
    return {"placement": running.placement, **settings, **result.figures()}


def exact(result: Result) -> None:
    """Fail unless everything that was accepted is everywhere once."""
    if not result.exact:
        lost, doubled = len(result.verdict.lost), len(result.verdict.doubled)
        said = f"{lost} lost, {doubled} doubled, {result.rejected} rejected"
        raise NotExact(f"{said}: {'; '.join(result.problems)}")
