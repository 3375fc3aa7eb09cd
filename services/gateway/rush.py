"""Who sends a webhook waits for its answer, and sends it again where that takes long: answers go first.

What was accepted is safe and can wait. So while many wait at the door hardly anything new is read; it is read
as soon as they have their answers, and never not at all.
"""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import TypeVar

from services.gateway.records import Busy

MANY = 16
"""So many who wait for their answers are a rush."""
FEW = 8
"""So many webhooks are read at once meanwhile."""

Task = TypeVar("Task")


class Rush:
    """Counts whose answer waits for our own database; `on_over` is called once they are few again."""

    def __init__(self, on_over: Callable[[], None]) -> None:
        self._on_over = on_over
        self.waiting = 0

    @contextlib.contextmanager
    def one_more(self) -> Iterator[None]:
        """Count one who waits."""
        self.waiting += 1
        try:
            yield
        finally:
            self.waiting -= 1
            if self.waiting == MANY - 1:
                self._on_over()

    def lets_by(
        self, claim: Callable[[int, Busy], Awaitable[Sequence[Task]]], slots: int
    ) -> Callable[[int, Busy], Awaitable[Sequence[Task]]]:
        """Return a claim for a pump with so many slots that claims little during a rush."""

        async def claimed(limit: int, busy: Busy) -> Sequence[Task]:
            if self.waiting >= MANY:
                begun = slots - limit
                limit = min(limit, FEW - begun)
            return await claim(limit, busy) if limit > 0 else []

        return claimed
