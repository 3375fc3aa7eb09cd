"""Waiting for something to come true, never longer than said."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from wedsync.clock import Clock
from wedsync.errors import DeadlineExceeded

_Found = TypeVar("_Found")

LIMIT_SECONDS = 20.0
LOOK_SECONDS = 0.02
"""Between two looks; no measured time is finer than this."""


async def eventually(
    look: Callable[[], Awaitable[_Found | None]], what: str, clock: Clock, *, seconds: float = LIMIT_SECONDS
) -> _Found:
    """Return the first thing found. Raises `DeadlineExceeded` naming what never came."""
    deadline = clock.monotonic() + seconds
    while (found := await look()) is None:
        if clock.monotonic() >= deadline:
            raise DeadlineExceeded(f"Waited {seconds:.0f} s in vain: {what}")
        await clock.sleep(LOOK_SECONDS)
    return found
