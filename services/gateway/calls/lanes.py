"""Which lane the work at hand belongs to; whatever calls a vendor for it is let in accordingly."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from contextvars import ContextVar

from wedsync.model.changes import Priority
from wedsync.runtime.limiter import Terms

_lane: ContextVar[Priority] = ContextVar("lane", default=Priority.NORMAL)

TERMS: Mapping[Priority, Terms] = {
    Priority.EMERGENCY: Terms(),
    Priority.CRITICAL: Terms(reserve=0.1),
    Priority.NORMAL: Terms(reserve=0.3),
    Priority.BULK: Terms(reserve=0.6, share=0.5),
}
"""What each lane leaves of an account's budget to the ones above it."""


@contextlib.contextmanager
def in_lane(lane: Priority) -> Iterator[None]:
    """Let calls to vendors within the block belong to this lane."""
    token = _lane.set(lane)
    try:
        yield
    finally:
        _lane.reset(token)


def current_lane() -> Priority:
    """Return the lane of the work at hand."""
    return _lane.get()


def places(lane: Priority, concurrency: int) -> int:
    """Return how many calls may be under way for one of this lane to be let in."""
    if lane in {Priority.EMERGENCY, Priority.CRITICAL} or concurrency == 1:
        return concurrency
    return max(1, concurrency // 2) if lane is Priority.BULK else concurrency - 1
